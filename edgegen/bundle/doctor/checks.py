"""Every check by its name, and running those that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgegen.bundle.doctor import (
    container,
    contract,
    fit,
    litert_lm,
    operators,
    stored,
    web,
    words,
)
from edgegen.bundle.doctor.findings import BundleHealth, Finding, Remark
from edgegen.bundle.doctor.subject import Settings, Subject
from edgegen.errors import EdgegenError, did_you_mean
from edgegen.progress import stage


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        run: Yields what is to be said; an `EdgegenError` that it raises is a failure.
        needs: Checks without whose success there is nothing to look at.
        runs_engine: Whether it runs the model.
    """

    run: Callable[[Subject], Iterator[Remark]]
    needs: tuple[str, ...] = ()
    runs_engine: bool = False


_OPENS = ("container",)
_SOUND = ("container", "model")
_SPELLS = ("container", "model", "tokenizer")
_RUNS = (*_SPELLS, "signatures")

CHECKS: dict[str, Check] = {
    "container": Check(container.container),
    "layout": Check(container.layout, _OPENS),
    "checksums": Check(container.checksums, _OPENS),
    "tokenizer": Check(words.tokenizer, _OPENS),
    "model": Check(contract.model, _OPENS),
    "vocabulary": Check(words.vocabulary, _SPELLS),
    "tokens": Check(words.tokens, ("container", "tokenizer")),
    "template": Check(words.template, ("container", "tokenizer")),
    "lengths": Check(words.lengths, _SOUND),
    "signatures": Check(contract.signatures, _SOUND),
    "caches": Check(contract.caches, _SOUND),
    "prefill": Check(contract.prefill, _SOUND),
    "cache-writes": Check(operators.cache_writes, _SOUND),
    "gpu-operators": Check(operators.gpu_operators, _SOUND),
    "quantization": Check(stored.quantization, _SOUND),
    "memory": Check(stored.memory, _SOUND),
    "metadata": Check(stored.metadata, _OPENS),
    "tokenizer-fit": Check(fit.tokenizer_fit, _RUNS, runs_engine=True),
    "cpu": Check(litert_lm.cpu, _RUNS, runs_engine=True),
    "runtime-template": Check(litert_lm.runtime_template, _RUNS, runs_engine=True),
    "gpu": Check(litert_lm.gpu, _RUNS, runs_engine=True),
    "web": Check(web.web, _RUNS, runs_engine=True),
}


def check_bundle(
    path: str | Path,
    *,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    engines: bool = True,
    settings: Settings | None = None,
) -> BundleHealth:
    """Examine a bundle; reports the stage `check bundle` in checks.

    Native code runs in processes of its own, under limits: its crash is a finding. What is wrong
    with the bundle never raises.

    Args:
        path: A `.task` or a `.litertlm`.
        only: Names of `CHECKS` to make, with what they need; none for all.
        skip: Names of those to leave out.
        engines: Whether to run the model at all.
        settings: How thoroughly to look.

    Raises:
        EdgegenError: a name is not one of `CHECKS`.
    """
    wanted, unwanted = tuple(only), tuple(skip)
    for name in (*wanted, *unwanted):
        if name not in CHECKS:
            raise EdgegenError(f"there is no check {name!r}", did_you_mean(name, CHECKS))
    chosen = [
        name
        for name, check in CHECKS.items()
        if (name in wanted or not wanted)
        and name not in unwanted
        and (engines or not check.runs_engine)
    ]
    subject = Subject(Path(path), settings or Settings())
    findings: list[Finding] = []
    with stage("check bundle", len(chosen), "checks") as advance:
        for name in chosen:
            failed = [f.check for f in findings if f.verdict == "fail"]
            findings += _findings(name, subject, failed)
            advance(1)
    return BundleHealth(Path(path), tuple(findings))


def _findings(name: str, subject: Subject, failed: list[str]) -> list[Finding]:
    check = CHECKS[name]
    lacking = [needed for needed in check.needs if needed in failed]
    if lacking:
        return [Finding(name, "skipped", f"the check {lacking[0]} failed")]
    found = []
    try:
        for remark in check.run(subject):
            found.append(Finding(name, remark.verdict, remark.reason, remark.hint))
    except EdgegenError as error:
        found.append(Finding(name, "fail", error.message, error.hint))
    return found
