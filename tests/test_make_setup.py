"""`make setup` on machines that lack something, with stand-ins for Python and npm."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Makes a .venv of itself; like Debian's without python3-venv if $NO_ENSUREPIP is set.
PYTHON = """#!/bin/sh
echo "python $*" >> "$CALLS"
here=$(dirname "$0")
case "$*" in
  "-m venv"*)
    for folder; do :; done
    rm -rf "$folder"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"
    [ -z "$NO_ENSUREPIP" ] || exit 1
    touch "$folder/bin/pip" ;;
  "-m pip"*) test -e "$here/pip" ;;
  "-c"*) echo 3.11 ;;
esac
"""
NPM = (
    '#!/bin/sh\necho "npm $*" >> "$CALLS"\nmkdir -p tests/engines/node_modules\nexit $NPM_STATUS\n'
)


class Checkout:
    """A copy of what `make setup` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        for name in ("Makefile", "pyproject.toml", "tests/engines/package-lock.json"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        (folder / "requirements").mkdir()
        (folder / "requirements/lock-py3.11.txt").touch()
        (folder / "bin").mkdir()
        for tool in ("sh", "dirname", "mkdir", "cp", "rm", "touch", "test", "awk"):
            (folder / "bin" / tool).symlink_to(shutil.which(tool) or "")
        self.install("fakepython", PYTHON)

    def install(self, name: str, script: str) -> None:
        (self.folder / "bin" / name).write_text(script)
        (self.folder / "bin" / name).chmod(0o755)

    def make(self, target: str = "setup", **environment: str) -> subprocess.CompletedProcess[str]:
        make = shutil.which("make")
        if make is None:
            pytest.skip("no make")
        self.calls.write_text("")
        return subprocess.run(
            [make, target, "PYTHON=fakepython"],
            cwd=self.folder,
            env={"PATH": str(self.folder / "bin"), "CALLS": str(self.calls), **environment},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_second_setup_has_nothing_to_do(checkout: Checkout) -> None:
    checkout.install("npm", NPM)
    assert checkout.make(NPM_STATUS="0").returncode == 0
    assert "pip install" in checkout.calls.read_text()

    assert checkout.make(NPM_STATUS="0").returncode == 0
    assert checkout.calls.read_text() == ""


def test_a_python_without_venv_is_explained_and_a_later_setup_works(checkout: Checkout) -> None:
    done = checkout.make(NO_ENSUREPIP="1")
    assert done.returncode != 0
    assert "error: fakepython cannot make a virtual environment" in done.stdout
    assert "apt-get install python3-venv" in done.stdout
    assert (checkout.folder / ".venv/bin/python").exists()

    assert checkout.make().returncode == 0
    assert "-m venv --clear .venv" in checkout.calls.read_text()


def test_a_missing_lock_is_explained(checkout: Checkout) -> None:
    (checkout.folder / "requirements/lock-py3.11.txt").unlink()
    done = checkout.make()
    assert done.returncode != 0
    assert "error: there is no requirements/lock-py3.11.txt" in done.stdout


def test_npm_may_come_later(checkout: Checkout) -> None:
    without = checkout.make()
    assert without.returncode == 0
    assert "note: there is no npm here" in without.stdout
    checkout.install("npm", NPM)

    assert checkout.make(NPM_STATUS="0").returncode == 0
    assert checkout.calls.read_text().startswith("npm ci ")


def test_a_failing_npm_stops_nothing_but_where_engines_are_required(checkout: Checkout) -> None:
    checkout.install("npm", NPM)
    assert checkout.make(NPM_STATUS="1").returncode == 0
    assert "note: npm ci failed" in checkout.make(NPM_STATUS="1").stdout

    required = checkout.make(NPM_STATUS="1", EDGEGEN_REQUIRE_ENGINES="1")
    assert required.returncode != 0
    assert "error: npm ci failed" in required.stdout


def test_the_demo_does_without_npm(checkout: Checkout) -> None:
    checkout.install("npm", NPM)
    checkout.make(NPM_STATUS="1")
    checkout.install("edgegen", "#!/bin/sh\n")
    shutil.copy(checkout.folder / "bin/edgegen", checkout.folder / ".venv/bin/edgegen")

    assert checkout.make("demo", EDGEGEN_REQUIRE_ENGINES="1").returncode == 0
    assert "npm" not in checkout.calls.read_text()
