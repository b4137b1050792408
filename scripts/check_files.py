"""Refuse files that end badly or are too large; run by pre-commit on the files of a commit.

python scripts/check_files.py README.md edgegen/errors.py
"""

from __future__ import annotations

import sys
from pathlib import Path

LARGEST_BYTES = 500_000
# The training text and the shipped model, whose own limit the tests know.
LARGE = ("scripts/tinyshakespeare.txt", "edgegen/demo/tiny_shakespeare/model.safetensors")
VERBATIM = ("LICENSE", "scripts/tinyshakespeare.txt")


def complaints(name: str, content: bytes) -> list[str]:
    """Return what is wrong with a file of that name and content."""
    found = []
    if len(content) > LARGEST_BYTES and name not in LARGE:
        found.append(f"{len(content)} bytes, more than {LARGEST_BYTES}")
    if b"\0" in content or name in VERBATIM:
        return found
    if content and (not content.endswith(b"\n") or content.endswith(b"\n\n")):
        found.append("must end in exactly one line end")
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.rstrip() != line:
            found.append(f"line {number} ends in blanks")
    return found


def main() -> int:
    wrong = [
        f"{name}: {complaint}"
        for name in sys.argv[1:]
        for complaint in complaints(name, Path(name).read_bytes())
    ]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
