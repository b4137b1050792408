"""MediaPipe's own LLM engine, which runs in browsers: its second opinion on our bundles."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.engines.availability import require_file, require_program

HERE = Path(__file__).parent
PACKAGES = ("@mediapipe/tasks-genai", "playwright-core")


class WebEngineError(Exception):
    """The engine, or the browser around it, refused."""


def generate_in_browser(
    task_path: Path,
    prompts: Sequence[str],
    *,
    max_tokens: int,
    output_tokens: int,
    force_f32: bool = False,
    timeout_s: float = 300,
) -> dict[str, Any]:
    """Generate greedily from each prompt, each in a fresh engine; skip if there is no engine.

    Args:
        task_path: The `.task` bundle.
        prompts: Prompts as a user types them; the engine puts the start token before.
        max_tokens: The exported KV-cache length; the engine warns about any other number.
        output_tokens: How many tokens to take from each answer.
        force_f32: Compute in float32 as torch does, instead of the engine's float16.
        timeout_s: Limit for all of it.

    Returns:
        `generations` (one dict per prompt: `prompt`, `prompt_tokens`, `text`, `pieces` as they
        came, `ended` by `limit` or `engine`, `adapter`), `log` (warnings, refused operators,
        precision) and `versions`.

    Raises:
        WebEngineError: The engine did not open the bundle, crashed, or took too long.
    """
    chromium = require_program(
        "chromium", "chromium-browser", install="on Debian: apt-get install chromium"
    )
    node = require_program("node", install="install Node.js 18 or newer, with npm")
    for package in PACKAGES:
        require_file(HERE / "node_modules" / package, "run make setup where npm is installed")
    command = [str(node), str(HERE / "mediapipe_web.mjs"), str(task_path)]
    command += ["--max-tokens", str(max_tokens), "--output-tokens", str(output_tokens)]
    command += ["--timeout-s", str(timeout_s), "--chromium", str(chromium)]
    command += ["--force-f32"] if force_f32 else []
    return _run(command, json.dumps(list(prompts)), timeout_s + 30)


def texts_in_browser(task_path: Path, prompts: Sequence[str], **options: Any) -> list[str]:
    """Return only the generated texts of `generate_in_browser`, in the order of `prompts`."""
    result = generate_in_browser(task_path, prompts, **options)
    return [generation["text"] for generation in result["generations"]]


def _run(command: list[str], stdin: str, timeout_s: float) -> dict[str, Any]:
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except BaseException:
            # Not kill(): asked politely, the script takes its browser with it.
            process.terminate()
            raise
    try:
        result = json.loads(stdout)
    except json.JSONDecodeError:
        raise WebEngineError(f"no JSON but {stdout!r}, stderr: {stderr[-2000:]}") from None
    if process.returncode != 0 or "error" in result:
        found = result.get("error", f"exit status {process.returncode}: {stderr[-2000:]}")
        raise WebEngineError("\n".join((found, *result.get("log", ()))))
    return dict(result)
