"""A child that does what the request says: the engine at its worst."""

from __future__ import annotations

import json
import os
import sys
import time


def main(answers_fd: int) -> None:
    request = json.loads(sys.stdin.buffer.readline())
    with os.fdopen(answers_fd, "w") as answers:
        answers.write(json.dumps({"environment": os.environ.get("EDGEGEN_TEST_WORD")}) + "\n")
        answers.write(json.dumps({"pid": os.getpid()}) + "\n")
        answers.flush()
        print("said on stdout", flush=True)
        match request["do"]:
            case "abort":
                os.abort()
            case "hang":
                time.sleep(600)
            case "hang deaf":
                answers.close()
                time.sleep(600)
            case "eat":
                kept = []
                while True:
                    kept.append(bytearray(16 * 1024**2))
            case "half":
                answers.write('{"done": ')
                answers.flush()
                os._exit(3)
            case "done":
                answers.write(json.dumps({"done": 1}) + "\n")
