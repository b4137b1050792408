"""The process in which LiteRT-LM renders a chat template; native code may abort.

Its template engine says why it refuses in the log alone, which is read from the file that stderr
goes to.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from edgegen.bundle.engine_child import NO_CACHE

_REASON = re.compile(r"Failed to apply template: (.*)")
_MAX_REASON_CHARACTERS = 300


def main(folder: str) -> None:
    """Serve the request on stdin; the answer becomes `answers` in `folder`, beside the log."""
    import litert_lm

    request = json.load(sys.stdin)
    log = Path(folder) / "log"
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    engine = litert_lm.Engine(
        model_path=request["bundle"],
        backend=litert_lm.Backend.CPU(thread_count=1),
        cache_dir=NO_CACHE,
    )
    with engine:
        renderings = [_render(engine, request, turns, log) for turns in request["conversations"]]
        following = _next_turn(engine, request, log)
    content = json.dumps({"renderings": renderings, "next": following})
    (Path(folder) / "answers").write_text(content, encoding="utf-8")


def _render(
    engine: Any, request: dict[str, Any], turns: list[list[str]], log: Path
) -> dict[str, str | None]:
    *before, last = [{"role": role, "content": text} for role, text in turns]
    with engine.create_conversation(chat_template=request["template"], messages=before) as chat:
        return _rendered(chat, last, log)


def _next_turn(engine: Any, request: dict[str, Any], log: Path) -> dict[str, str | None]:
    import litert_lm

    sampler = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=0.0)
    with engine.create_conversation(
        chat_template=request["template"], sampler_config=sampler, max_output_tokens=2
    ) as chat:
        logged = log.stat().st_size
        try:
            chat.send_message("Hello")
        except RuntimeError as error:
            return {"text": None, "error": _reason(log, logged) or str(error)}
        return _rendered(chat, {"role": "user", "content": request["next"]}, log)


def _rendered(chat: Any, message: dict[str, str], log: Path) -> dict[str, str | None]:
    logged = log.stat().st_size
    text = chat.render_message_to_string(message)
    # An empty text stands for a refusal, and for a template that writes nothing.
    reason = None if text else _reason(log, logged)
    return {"text": None if reason else text, "error": reason}


def _reason(log: Path, start: int) -> str | None:
    """Return what the engine logged since, if it is a refusal."""
    with log.open("rb") as file:
        file.seek(start)
        written = file.read().decode("utf-8", errors="replace")
    if not written.strip():
        return None
    found = _REASON.search(written)
    return (found[1] if found else written.strip())[:_MAX_REASON_CHARACTERS]
