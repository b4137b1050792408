"""What LiteRT-LM's own chat makes of messages; run by `chat` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def chat(
    bundle: Path, conversations: list[list[tuple[str, str]]], question: str
) -> dict[str, list[Any]]:
    """Return `rendered` texts of conversations, and what `rounds` of a chat fed and answered."""
    request = {"bundle": str(bundle), "conversations": conversations, "question": question}
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answer: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _main() -> None:
    import litert_lm

    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    request = json.load(sys.stdin)
    engine = litert_lm.Engine(
        model_path=request["bundle"],
        backend=litert_lm.Backend.CPU(thread_count=1),
        cache_dir=":nocache",
    )
    sampler = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=0.0)
    rendered, rounds = [], []
    with engine:
        for turns in request["conversations"]:
            *before, last = [{"role": role, "content": text} for role, text in turns]
            with engine.create_conversation(messages=before) as made:
                rendered.append(made.render_message_to_string(last))
        with engine.create_conversation(sampler_config=sampler, max_output_tokens=100) as made:
            for _ in range(3):
                fed = made.render_message_to_string(request["question"])
                answer = made.send_message(request["question"]).to_json()["content"][0]["text"]
                rounds.append(
                    {
                        "fed": fed,
                        "fed_tokens": len(engine.tokenize(fed)),
                        "answer": answer,
                        "answer_tokens": len(engine.tokenize(answer)),
                        "tokens_so_far": made.token_count,
                    }
                )
    print(json.dumps({"rendered": rendered, "rounds": rounds}))


if __name__ == "__main__":
    _main()
