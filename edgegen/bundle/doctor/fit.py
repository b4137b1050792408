"""Whether the tokenizer is the one that the model was trained with, which no size can tell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from edgegen.bundle.contents import tokenizer_sha256
from edgegen.bundle.doctor.findings import Remark, failed, passed, skipped, warned
from edgegen.bundle.doctor.reference import ask, start_ids, why_not
from edgegen.bundle.doctor.subject import Subject
from edgegen.provenance import provenance_path

# Plain texts of several kinds: a model that has read any of them expects it.
TEXTS = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
    "age of foolishness. What did you say to them, my lord?",
    "The city lies on the river. It has about two million people, and it is the largest city of "
    "the country. In 1950 it was much smaller.",
    "def main():\n    for i in range(10):\n        print(i)\n    return 0\n",
    "Der Hund ist im Haus, und die Katze schläft auf dem Stuhl. Was machst du heute?",
    "今天天气很好。我们去公园散步。你喜欢喝茶还是喝水",
)
_SCORED = 40
# Below this share of a uniform guess's surprise the model knows the text.
_KNOWN, _CHANCE, _UNDECIDED = 0.9, 1.0, 0.9


def tokenizer_fit(subject: Subject) -> Iterator[Remark]:
    """The model knows what the tokenizer makes of plain texts: it was trained with this one.

    A trained model is surprised by its language far less than by chance; of another tokenizer's
    ids it makes nonsense, and being sure of other tokens it is surprised more than by chance.
    """
    record = _recorded(subject)
    if isinstance(record, Remark):
        yield record
    reason = why_not(subject)
    if reason is not None:
        yield skipped(reason)
        return
    start = start_ids(subject)
    known = subject.dimensions.vocab_size or 0
    room = min(_SCORED, (subject.dimensions.kv_cache_len or 0) - 1)
    texts = [(start + subject.tokenizer.encode(text))[:room] for text in TEXTS]
    texts = [ids for ids in texts if len(ids) > len(start) + 1 and max(ids) < known]
    if not texts:
        yield skipped("none of the texts can be spelled with the ids that the model knows")
        return
    found = ask(subject, [("score", {"ids": ids}) for ids in texts])
    chance = math.log(known)
    surprise = min(_mean(one["surprise"]) for one in found)
    expected = min(_mean(one["expected"]) for one in found)
    told = (
        f"of {len(found)} plain texts the model expects one best at {surprise:.1f} nats a token; a "
        f"guess has {chance:.1f}"
    )
    if surprise < _KNOWN * chance:
        yield passed(told)
    elif expected > _UNDECIDED * chance:
        yield warned(
            f"{told}; it prefers no token over others, as untrained models do, so that nothing can "
            "be told of the tokenizer"
        )
    elif surprise < _CHANCE * chance:
        yield warned(f"{told}, which is close", "see with edgegen run that it makes sense")
    else:
        yield failed(
            f"{told}, though the model is sure of other tokens ({expected:.1f} nats expected): the "
            "ids mean something else to it",
            "bundle the tokenizer that the model was trained with; of a model of no language leave "
            "this check out: --skip tokenizer-fit",
        )


def _recorded(subject: Subject) -> Remark | None:
    """Compare the tokenizer with the record of the bundle's making, if it tells."""
    path = provenance_path(subject.path)
    try:
        record = json.loads(path.read_bytes()) if path.is_file() else {}
        wanted = record.get("tokenizer", {}).get("sha256")
    except (OSError, ValueError, RecursionError, AttributeError):
        return None  # `metadata` tells what is wrong with the record
    if wanted is None or wanted == tokenizer_sha256(subject.bundle.tokenizer):
        return None
    return warned(
        "the tokenizer is not the one that the record beside the bundle tells of",
        "compare the two: edgegen inspect shows the record",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
