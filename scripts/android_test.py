"""Put every Kotlin file of `android_demo/` through the compiler, and run the tests of its core.

    python scripts/android_test.py [--only MODULE...]

No Android SDK is needed, and none is used: what the app calls of Android, AndroidX and the
engines is declared in `android_demo/stubs`. The Kotlin compiler is the npm package that
`android_demo/kotlin-tools/package-lock.json` pins; kotlinx.serialization's runtime is taken from
the wheel that `requirements.txt` beside it pins; JUnit 5 and JaCoCo are Debian's. What has not
changed since it was compiled is not compiled again. Warnings are errors.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "android_demo"
TOOLS = DEMO / "kotlin-tools"
BUILD = DEMO / "build" / "check"
JARS = DEMO / "build" / "jars"
DEBIAN_JARS = Path("/usr/share/java")
LEAST_COVERAGE = 0.90
# Newer class files list the subclasses of sealed classes, which Debian's JaCoCo refuses.
JVM_TARGET = "11"
_JUNIT = (
    "junit-jupiter-api",
    "junit-jupiter-engine",
    "junit-jupiter-params",
    "junit-platform-commons",
    "junit-platform-console",
    "junit-platform-engine",
    "junit-platform-launcher",
    "junit-platform-reporting",
    "apiguardian-api",
    "opentest4j",
    "opentest4j-reporting-events",
    "opentest4j-reporting-schema",
    "picocli",
    "univocity-parsers",
)
_JACOCO = (
    "org.jacoco.core",
    "org.jacoco.agent",
    "asm",
    "asm-commons",
    "asm-tree",
    "asm-analysis",
)
_COMPILER = (
    "kotlin-compiler",
    "kotlin-stdlib",
    "kotlin-script-runtime",
    "kotlin-reflect",
    "annotations-13.0",
    "kotlinx-coroutines-core-jvm",
    "kotlin-daemon-client",
)


class ToolError(Exception):
    """Something that is needed is not there, or failed; the message says what and what to do."""


@dataclass(frozen=True)
class Module:
    """Kotlin sources that are compiled together.

    Attributes:
        name: What it is called here, and its folder of classes.
        sources: Folder, relative to `android_demo`.
        uses: Modules whose classes it sees.
        plugins: The compiler's plugins.
        jars: Further jars that it sees.
        friend: Module whose `internal` declarations it sees.
    """

    name: str
    sources: str
    uses: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    jars: tuple[Path, ...] = ()
    friend: str | None = None


@dataclass
class Toolchain:
    """The jars.

    Attributes:
        lib: Folder of the npm package's jars.
        runtime: What every module sees.
        junit: JUnit 5.
        jacoco: JaCoCo and what it needs.
    """

    lib: Path
    runtime: tuple[Path, ...]
    junit: tuple[Path, ...]
    jacoco: tuple[Path, ...]

    @classmethod
    def find(cls) -> Toolchain:
        """Find what must be there.

        Raises:
            ToolError: something is not.
        """
        if shutil.which("java") is None:
            raise ToolError("there is no java; on Debian: apt-get install openjdk-17-jre-headless")
        lib = TOOLS / "node_modules" / "kotlin-compiler" / "lib"
        if not (lib / "kotlin-compiler.jar").is_file():
            raise ToolError("there is no Kotlin compiler; run: make android-tools")
        serialization = sorted(JARS.glob("kotlinx-serialization-*.jar"))
        if len(serialization) != 2:
            raise ToolError("kotlinx.serialization is not there; run: make android-tools")
        junit = _debian(_JUNIT, "junit5")
        jacoco = _debian(_JACOCO, "libjacoco-java")
        runtime = (lib / "kotlin-stdlib.jar", lib / "kotlinx-coroutines-core-jvm.jar")
        return cls(lib, (*runtime, *serialization), junit, jacoco)

    def plugin(self, name: str) -> Path:
        """Return the jar of a compiler plugin."""
        return self.lib / f"{name}-compiler-plugin.jar"


def _debian(names: Iterable[str], package: str) -> tuple[Path, ...]:
    jars = tuple(DEBIAN_JARS / f"{name}.jar" for name in names)
    missing = [jar.name for jar in jars if not jar.is_file()]
    if missing:
        raise ToolError(
            f"there is no {missing[0]} in {DEBIAN_JARS}; on Debian: apt-get install {package}"
        )
    return jars


def modules(tools: Toolchain) -> tuple[Module, ...]:
    """Return the modules, each after those that it uses."""
    testing = (*tools.junit, tools.lib / "kotlin-test.jar", tools.lib / "kotlin-test-junit5.jar")
    serialization, compose = ("kotlinx-serialization",), ("compose",)
    return (
        Module("core", "core/src/main/kotlin", plugins=serialization),
        Module("core-tool", "core/tool/src/main/kotlin", ("core",), serialization),
        Module(
            "core-test",
            "core/src/test/kotlin",
            ("core", "core-tool"),
            serialization,
            testing,
            friend="core",
        ),
        Module("stubs", "stubs/src/main/kotlin", ("java",), compose),
        Module("engine-litertlm", "engine-litertlm/src/main/kotlin", ("core", "java", "stubs")),
        Module("engine-mediapipe", "engine-mediapipe/src/main/kotlin", ("core", "java", "stubs")),
        Module(
            "app",
            "app/src/main/kotlin",
            ("core", "java", "stubs", "engine-litertlm", "engine-mediapipe"),
            (*compose, *serialization),
        ),
        Module("coverage", "kotlin-tools/coverage", jars=tools.jacoco),
    )


def make_java_classes() -> bool:
    """Make Android's stubs and the app's `R` unless they are those of their sources; tell it.

    Raises:
        ToolError: aapt2 or javac refuses them, or is not there.
    """
    maker, out, mark = DEMO / "stubs" / "java_classes.py", BUILD / "java", BUILD / "java.sha256"
    app = DEMO / "app" / "src" / "main"
    made_of = [*(DEMO / "stubs").rglob("*.java"), *(app / "res").rglob("*.xml")]
    digest = _digest([maker, app / "AndroidManifest.xml", *sorted(made_of)], [])
    if out.is_dir() and mark.is_file() and mark.read_text() == digest:
        return False
    mark.unlink(missing_ok=True)
    if subprocess.run([sys.executable, str(maker), str(out)], check=False).returncode != 0:
        raise ToolError("the app's resources or the stubs of Android do not compile")
    mark.write_text(digest)
    return True


def check_all_named(known: Sequence[Module]) -> None:
    """Raise `ToolError` if a Kotlin file is in no module: nothing would compile it."""
    folders = [DEMO / module.sources for module in known]
    for path in sorted(DEMO.rglob("*.kt")):
        if "node_modules" in path.parts or "build" in path.relative_to(DEMO).parts:
            continue
        if not any(path.is_relative_to(folder) for folder in folders):
            raise ToolError(f"{path.relative_to(ROOT)} belongs to no module of {__file__}")


def compile_module(tools: Toolchain, module: Module, known: Sequence[Module]) -> bool:
    """Compile a module unless its classes are those of its sources; tell whether it was.

    Raises:
        ToolError: the compiler refuses it, or it has no sources.
    """
    sources = sorted((DEMO / module.sources).rglob("*.kt"))
    if not sources:
        raise ToolError(f"there is no Kotlin in android_demo/{module.sources}")
    out, mark = BUILD / module.name, BUILD / f"{module.name}.sha256"
    classpath = (*(BUILD / name for name in module.uses), *tools.runtime, *module.jars)
    flags = [
        *("-no-stdlib", "-no-reflect", "-Werror", "-Xreport-all-warnings"),
        *("-jvm-target", JVM_TARGET, f"-Xjdk-release={JVM_TARGET}"),
        *("-module-name", module.name),
        *(f"-Xplugin={tools.plugin(name)}" for name in module.plugins),
    ]
    if module.friend is not None:
        flags.append(f"-Xfriend-paths={BUILD / module.friend}")
    used = [(BUILD / f"{name}.sha256").read_text() for name in module.uses]
    digest = _digest(sources, [*flags, *map(str, classpath), *used])
    if out.is_dir() and mark.is_file() and mark.read_text() == digest:
        return False
    shutil.rmtree(out, ignore_errors=True)
    mark.unlink(missing_ok=True)
    out.mkdir(parents=True)
    done = subprocess.run(
        [
            *("java", "-Xmx1g", "-XX:+UseSerialGC", "-cp", _joined(_compiler_jars(tools))),
            *("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-kotlin-home", str(tools.lib.parent)),
            *flags,
            *("-cp", _joined(classpath), "-d", str(out)),
            *map(str, sources),
        ],
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(f"{module.name} does not compile")
    mark.write_text(digest)
    return True


def _compiler_jars(tools: Toolchain) -> list[Path]:
    return [tools.lib / f"{name}.jar" for name in _COMPILER]


def _digest(sources: Sequence[Path], words: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sources:
        digest.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _joined(paths: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, paths))


def run_tests(tools: Toolchain) -> None:
    """Run core's tests under JaCoCo's agent, and check what they covered.

    Raises:
        ToolError: a test failed, or too few lines were run.
    """
    reporter = _joined([BUILD / "coverage", *tools.jacoco, *tools.runtime])
    coverage = ("java", "-Xmx512m", "-cp", reporter, "dev.edgegen.tools.CoverageKt")
    with tempfile.TemporaryDirectory(prefix="edgegen-android-") as folder:
        plain, executed = Path(folder) / "core", f"{folder}/core.exec"
        subprocess.run([*coverage, "plain", BUILD / "core", plain], check=True)
        testing = (
            *(plain, BUILD / "core-tool", BUILD / "core-test"),
            *(*tools.runtime, *tools.junit),
            *(tools.lib / "kotlin-test.jar", tools.lib / "kotlin-test-junit5.jar"),
        )
        agent = f"{_agent(Path(folder))}=destfile={executed},includes=dev.edgegen.core.*"
        command = [
            *("java", "-Xmx512m", "-XX:+UseSerialGC", f"-javaagent:{agent}"),
            *("-cp", _joined(testing), "org.junit.platform.console.ConsoleLauncher"),
            *("--scan-classpath", str(BUILD / "core-test"), "--details=tree"),
            *("--disable-banner", "--disable-ansi-colors", "--fail-if-no-tests"),
        ]
        if subprocess.run(command, check=False).returncode != 0:
            raise ToolError("tests of core failed")
        report = ("report", executed, plain, DEMO / "core/src/main/kotlin", str(LEAST_COVERAGE))
        if subprocess.run([*coverage, *report], check=False).returncode != 0:
            raise ToolError("too few lines of core are tested")


def _agent(folder: Path) -> Path:
    """Unpack JaCoCo's agent, which lies in a jar of its own in Debian's."""
    with zipfile.ZipFile(DEBIAN_JARS / "org.jacoco.agent.jar") as jar:
        return Path(jar.extract("jacocoagent.jar", folder))


def take_jars(wheels: Path) -> None:
    """Take kotlinx.serialization's runtime out of the wheel in `wheels`.

    Raises:
        ToolError: it is not there.
    """
    found = sorted(wheels.glob("kotlin_jupyter_kernel-*.whl"))
    if not found:
        raise ToolError(f"there is no kotlin-jupyter-kernel in {wheels}")
    JARS.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(found[-1]) as wheel:
        for name in wheel.namelist():
            if name.rpartition("/")[2].startswith("kotlinx-serialization-"):
                (JARS / name.rpartition("/")[2]).write_bytes(wheel.read(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Compile and test android_demo without an SDK.")
    parser.add_argument("--only", nargs="+", metavar="MODULE", help="compile these and no more")
    parser.add_argument("--take-jars", type=Path, metavar="WHEELS", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.take_jars is not None:
            take_jars(options.take_jars)
            return 0
        tools = Toolchain.find()
        known = modules(tools)
        check_all_named(known)
        chosen = [each for each in known if options.only is None or each.name in options.only]
        if any("java" in each.uses for each in chosen):
            print(f"java: {'compiled' if make_java_classes() else 'unchanged'}", flush=True)
        for module in known:
            if options.only is not None and module.name not in options.only:
                continue
            compiled = compile_module(tools, module, known)
            print(f"{module.name}: {'compiled' if compiled else 'unchanged'}", flush=True)
        if options.only is None:
            run_tests(tools)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
