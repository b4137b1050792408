"""MediaPipe's own word on the bundle: its web engine in a headless Chromium."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgegen.bundle.doctor.chromium import PROGRAMS, find_chromium, running_chromium
from edgegen.bundle.doctor.findings import Remark, Verdict, passed, skipped
from edgegen.bundle.doctor.reference import (
    GENERATED,
    GPU_TIE,
    compared,
    greedy_reference,
    why_not,
)
from edgegen.bundle.doctor.stored import gpu_faults
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.preview import BundleFacts, open_web_engine, preview_server, read_facts
from edgegen.errors import EngineError

# Runs in a page of the preview's server, with the preview's own engine. What the engine says while
# it fails is told along with the error.
_GENERATE = """(async (request) => {
  const { Engine } = await import(new URL('engine.js', location.href).href);
  const log = [];
  const pieces = [];
  let gpu;
  let enough;
  const limit = new Promise((resolve) => (enough = () => resolve('limit')));
  const engine = new Engine((event) => {
    if (event.kind === 'log') log.push(event.text);
    if (event.kind === 'gpu') gpu = event.gpu.name;
  });
  try {
    await engine.load(request.options);
    const answered = engine.generate(request.prompt, (piece) => {
      pieces.push(piece);
      if (pieces.length === request.pieces) enough();
    });
    const ended = await Promise.race([answered.then(() => 'engine'), limit]);
    answered.catch(() => {});
    return { text: pieces.slice(0, request.pieces).join(''), ended, gpu, log };
  } catch (error) {
    return { error: error.message, log };
  } finally {
    engine.end();
  }
})"""
_MOST_CHARACTERS = 200
# glog's errors, and what the GPU delegate says of operators.
_NOWHERE = Path("no web engine")
_TELLING = re.compile(r"^[EF]\d{4} |^ERROR|not supported|[Uu]nsupported")


def web(subject: Subject) -> Iterator[Remark]:
    """MediaPipe's web engine opens it and says what the model says."""
    missing = _what_is_missing(subject)
    if missing is not None:
        yield missing
        return
    facts = read_facts(subject.path)
    # The engine puts METADATA's system prompt before every prompt, as it is.
    before = facts.engine_system_prompt
    reference = greedy_reference(subject, GPU_TIE, before)
    found = _generate(subject, facts, reference.prompt)
    if "error" in found:
        # What the stored types alone explain is no surprise to who meant the bundle for a CPU.
        faults = [fault for graph in subject.graphs.values() for fault in gpu_faults(graph)]
        known: Verdict = "warn" if faults and not subject.promises_gpu else "fail"
        lines = [line for text in found.get("log", ()) for line in str(text).splitlines()]
        told = [str(found["error"]).partition("\n")[0], *filter(_TELLING.search, lines)]
        said = "; ".join(dict.fromkeys(line.strip()[:_MOST_CHARACTERS] for line in told))
        yield Remark(
            known,
            f"MediaPipe's web engine does not run it: {said[: 2 * _MOST_CHARACTERS]}",
            "what the other checks say of the layout and the operators may be why",
        )
        return
    yield passed(f"MediaPipe's web engine opens it on {found.get('gpu') or 'an unnamed GPU'}")
    cut = found["ended"] == "limit"
    engine = "MediaPipe's web engine"
    yield compared(subject, found["text"], engine, GPU_TIE, before=before, cut=cut)


def _what_is_missing(subject: Subject) -> Remark | None:
    reason, hint = why_not(subject), None
    if subject.bundle.format != "task":
        reason = "MediaPipe's web engine opens .task files only"
        hint = "edgegen bundle convert makes one of this"
    elif subject.excludes_gpu:
        reason = f"the bundle says that it runs on {', '.join(subject.backends)} only"
    elif find_chromium() is None:
        reason, hint = f"there is none of {', '.join(PROGRAMS)} on PATH", "install Chromium"
    else:
        try:
            open_web_engine(subject.settings.web_engine or _NOWHERE)
        except EngineError as error:
            reason, hint = "MediaPipe's web engine is not here", error.hint
    return None if reason is None else skipped(reason, hint)


def _generate(subject: Subject, facts: BundleFacts, prompt: str) -> dict[str, Any]:
    """Have the engine continue a prompt in a fresh browser."""
    folder, program = subject.settings.web_engine, find_chromium()
    assert folder is not None
    assert program is not None
    request = {
        "prompt": prompt,
        "pieces": GENERATED,
        "options": {
            "bytes": facts.file_bytes,
            "maxTokens": facts.kv_cache_len,
            "temperature": 0,
            "topK": 1,
            "seed": 1,
            "forceF32": True,
        },
    }
    with preview_server(facts, open_web_engine(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            with running_chromium(program, subject.settings.limits) as browser:
                # Any page of the server's will do but the preview itself, which starts an engine.
                browser.open(f"{server.url}facts.json")
                found = browser.evaluate(f"{_GENERATE}({json.dumps(request)})")
        except EngineError as error:
            return {"error": error.message}
        finally:
            server.shutdown()
            thread.join()
    return dict(found)
