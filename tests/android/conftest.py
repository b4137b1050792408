"""The app's core on a JVM: compiled when a test first asks for it."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.availability import engine_missing

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "android_demo/kotlin-tools"
BUILD = ROOT / "android_demo/build/check"
_MAIN = "dev.edgegen.core.tool.MainKt"


@pytest.fixture(scope="session")
def kotlin_tool() -> list[str]:
    """The command of core's tool: the headless runner with a fake engine, and the reader."""
    if shutil.which("java") is None:
        engine_missing("no java: apt-get install openjdk-17-jre-headless")
    lib = TOOLS / "node_modules/kotlin-compiler/lib"
    jars = sorted((ROOT / "android_demo/build/jars").glob("*.jar"))
    if not (lib / "kotlin-compiler.jar").is_file() or not jars:
        engine_missing("no Kotlin compiler: make android-tools")
    BUILD.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes, which would write each other's classes.
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        script = ROOT / "scripts/android_test.py"
        made = subprocess.run(
            [sys.executable, script, "--only", "core", "core-tool"],
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode != 0:
        pytest.fail(f"the app's core does not compile:\n{made.stderr}", pytrace=False)
    runtime = [lib / "kotlin-stdlib.jar", lib / "kotlinx-coroutines-core-jvm.jar", *jars]
    classpath = ":".join(map(str, [BUILD / "core", BUILD / "core-tool", *runtime]))
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath, _MAIN]
