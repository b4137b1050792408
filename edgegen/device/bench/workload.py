"""What one run computes, by the names that llama-bench gave such tests."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgegen.errors import DeviceError

# pp512, tg128, pp512+tg128, each also behind a context: pp512@d1024
_COUNT = "([1-9][0-9]{0,6})"
_NAME = re.compile(f"(?:pp{_COUNT}(?:\\+tg{_COUNT})?|tg{_COUNT})(?:@d{_COUNT})?")


@dataclass(frozen=True)
class Workload:
    """Tokens that one run computes.

    Attributes:
        prefill_tokens: Prompt length; 0 if prefill is not measured.
        decode_tokens: Tokens to generate; 0 if decode is not measured.
        depth: Tokens that the KV cache holds before; their time does not count.
    """

    prefill_tokens: int
    decode_tokens: int
    depth: int = 0

    def __post_init__(self) -> None:
        for name in ("prefill_tokens", "decode_tokens", "depth"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected >= 0")
        if not self.prefill_tokens + self.decode_tokens:
            raise ValueError("a workload without tokens measures nothing")

    @property
    def name(self) -> str:
        """Its short name, such as `pp512+tg128@d1024`."""
        parts = [f"pp{self.prefill_tokens}"] if self.prefill_tokens else []
        parts += [f"tg{self.decode_tokens}"] if self.decode_tokens else []
        return "+".join(parts) + (f"@d{self.depth}" if self.depth else "")

    @property
    def tokens(self) -> int:
        """Places in the KV cache that it needs."""
        return self.depth + self.prefill_tokens + self.decode_tokens


def parse_workload(name: str) -> Workload:
    """Return what a name such as `pp512+tg128@d1024` stands for.

    Raises:
        DeviceError: it is no such name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise DeviceError(
            f"'{name}' names no test",
            "name prompt and answer lengths: pp512, tg128, pp512+tg128, pp512@d1024 "
            "(behind a context of 1024 tokens)",
        )
    prefill, decode, alone, depth = (int(count or 0) for count in found.groups())
    return Workload(prefill, decode or alone, depth)
