"""LiteRT-LM itself: a converted tokenizer in a `.task` has the ids and the text of the original."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from edgegen.bundle import open_bundle, write_bundle
from edgegen.bundle.tokenizers import corpus_lines, open_hf_tokenizer, try_convert
from edgegen.contract import TASK_MODEL
from tests.bundle.tokenizers.trained import byte_level

# Alone in its process: native code may abort. Lines come on stdin, answers go to the file.
ASK = """
import json, sys
import litert_lm
with litert_lm.Engine(sys.argv[1], cache_dir=":nocache") as engine:
    found = []
    for line in json.load(sys.stdin):
        ids = engine.tokenize(line)
        found.append([ids, engine.detokenize(ids)])
json.dump(found, open(sys.argv[2], "w"))
"""


def test_litert_lm_finds_the_same_ids_and_text(demo_task: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    byte_level(size=2000).save(str(path))
    original, conversion = open_hf_tokenizer(path), try_convert(path, vocab_size=2048)
    assert conversion.tokenizer.piece_count > 2048  # more than the model has logits for
    demo = open_bundle(demo_task)
    member = demo.member(TASK_MODEL)
    model = tmp_path / "model.tflite"
    with demo_task.open("rb") as file:
        file.seek(member.offset)
        model.write_bytes(file.read(member.size))
    parameters = dataclasses.replace(
        demo.parameters,
        start_token="<|endoftext|>",
        stop_tokens=("<|im_end|>",),
        start_token_id=0,
        stop_token_ids=(2,),
    )
    bundle = tmp_path / "mine.task"
    write_bundle(model, conversion.tokenizer, parameters, bundle)

    lines = [text for _, text in corpus_lines(40) if "\0" not in text]
    answers = tmp_path / "answers.json"
    subprocess.run(
        [sys.executable, "-c", ASK, str(bundle), str(answers)],
        input=json.dumps(lines),
        text=True,
        check=True,
        timeout=120,
        stderr=subprocess.DEVNULL,
    )
    found = json.loads(answers.read_text())
    assert [ids for ids, _ in found] == conversion.tokenizer.encode_batch(lines)
    assert [text for _, text in found] == lines
    same = sum(ids == original.encode(line) for (ids, _), line in zip(found, lines, strict=True))
    print(f"{same} of {len(lines)} lines have the original's ids")
    assert same >= 0.98 * len(lines)
