"""Write `requirements/lock-py3.X.txt`: one exact version of everything, per Python.

    python scripts/lock.py python3.10 python3.11 python3.12 python3.13

For each interpreter given (this one when none is), a scratch environment with a current pip
resolves the package with its `dev` extra. `pip install --dry-run` answers from metadata, so
little is downloaded and nothing is installed. The result is a pip constraint file: versions
only, because wheels come from whichever index the user's pip is set up for. The script itself
needs Python 3.11, for tomllib.

Left out on purpose: the CUDA libraries of torch's default Linux build, and the `+cpu` or
`+cu...` suffix of its version, so that the same file fits every build of torch.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "requirements"
ACCELERATOR = re.compile(r"nvidia-.*|cuda-.*|triton")
# Everything must have a wheel for the Python at hand, but for this pure-Python package, which
# is published as a source archive alone.
SOURCE_ONLY = "adb-shell"
OWN_EXTRA = re.compile(r"edgegen\[(?P<extra>[\w-]+)\]")


def requirements(extra: str, project: dict) -> Iterator[str]:
    """Yield the requirements of one extra, with extras it refers to unfolded."""
    for requirement in project["optional-dependencies"][extra]:
        own = OWN_EXTRA.fullmatch(requirement)
        if own:
            yield from requirements(own["extra"], project)
        else:
            yield requirement


def resolve(python: str, wanted: list[str]) -> list[tuple[str, str]]:
    """Return the sorted (name, version) pairs that `python` would install for `wanted`."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([python, "-m", "venv", scratch], check=True)
        pip = [f"{scratch}/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--upgrade", "pip"], check=True)
        report = Path(scratch) / "report.json"
        command = [*pip, "install", "--dry-run", "--ignore-installed", "--report", str(report)]
        wheels_only = ["--only-binary", ":all:", "--no-binary", SOURCE_ONLY]
        subprocess.run([*command, *wheels_only, *wanted], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    pairs = {(re.sub(r"[-_.]+", "-", m["name"]).lower(), m["version"]) for m in found}
    return sorted(
        (name, version.partition("+")[0])
        for name, version in pairs
        if not ACCELERATOR.fullmatch(name)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *requirements("dev", project)]
    OUT.mkdir(exist_ok=True)
    for python in parser.parse_args().pythons:
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = subprocess.check_output([python, "-c", ask], text=True).strip()
        pairs = resolve(python, wanted)
        lock = OUT / f"lock-py{version}.txt"
        lock.write_text(
            f"# Made by `make lock` for Python {version}; do not edit.\n"
            + "".join(f"{name}=={number}\n" for name, number in pairs)
        )
        print(f"{lock.relative_to(ROOT)}: {len(pairs)} packages")


if __name__ == "__main__":
    main()
