"""What the doctor says: findings, and a bundle's health."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

SCHEMA = "edgegen.check/1"

Verdict = Literal["pass", "warn", "fail", "skipped"]
_GRAVITY: tuple[Verdict, ...] = ("skipped", "pass", "warn", "fail")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: The check's name, a key of `edgegen.bundle.doctor.CHECKS`.
        verdict: `skipped` where the check could not be made.
        reason: What was found, and what was expected where that is not it.
        hint: What to do about it; `None` where nothing is to be done.
    """

    check: str
    verdict: Verdict
    reason: str
    hint: str | None = None


@dataclass(frozen=True)
class BundleHealth:
    """All findings about a bundle, in the order of the checks.

    Attributes:
        path: The bundle.
        findings: What was found.
    """

    path: Path
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings' verdicts; `pass` where all that was asked for passed."""
        return max((f.verdict for f in self.findings), key=_GRAVITY.index, default="skipped")

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed, each once."""
        return tuple(dict.fromkeys(f.check for f in self.findings if f.verdict == "fail"))

    def of(self, check: str) -> tuple[Finding, ...]:
        """Return the findings of one check."""
        return tuple(finding for finding in self.findings if finding.check == check)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON knows."""
        return {
            "schema": SCHEMA,
            "path": str(self.path),
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class Remark:
    """What a check says, before its name is put to it; fields as in `Finding`."""

    verdict: Verdict
    reason: str
    hint: str | None = None


def passed(reason: str) -> Remark:
    """Say that it is as it should be."""
    return Remark("pass", reason)


def warned(reason: str, hint: str | None = None) -> Remark:
    """Say that it works here, or on some engines, but not everywhere."""
    return Remark("warn", reason, hint)


def failed(reason: str, hint: str | None = None) -> Remark:
    """Say that an engine refuses it, or answers wrongly."""
    return Remark("fail", reason, hint)


def skipped(reason: str, hint: str | None = None) -> Remark:
    """Say why it could not be looked at."""
    return Remark("skipped", reason, hint)
