"""Make the Java classes that the Kotlin of `android_demo` sees: Android's stubs, and the app's `R`.

    python3 android_demo/stubs/java_classes.py OUT      # a folder for classes

The app's manifest and resources are compiled and linked by Debian's aapt2, which also writes `R`;
`apt-get install aapt android-framework-res` brings it and the framework's resources of API 29. What
the manifest has from later versions is taken out of the copy that is linked, and named. javac
compiles that and `stubs/src/main/java`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

STUBS = Path(__file__).resolve().parent
APP = STUBS.parent / "app/src/main"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
PACKAGE = "dev.edgegen.demo"
ANDROID = "http://schemas.android.com/apk/res/android"
MIN_SDK, LINKED_SDK, RELEASE = 26, 29, 11
# What API 29 does not know: elements, and attributes of the application.
LATER_ELEMENTS = ("uses-native-library",)
LATER_ATTRIBUTES = ("dataExtractionRules",)


def linked_manifest(source: Path, target: Path) -> list[str]:
    """Write what aapt2 can check of a manifest, as Gradle's merger would; return what it cannot."""
    ET.register_namespace("android", ANDROID)
    tree = ET.parse(source)
    root = tree.getroot()
    root.set("package", PACKAGE)
    application = root.find("application")
    if application is None:
        raise SystemExit(f"{source} has no <application>")
    left_out = []
    for name in LATER_ELEMENTS:
        for element in application.findall(name):
            left_out.append(f"<{name} {element.get(f'{{{ANDROID}}}name')}>")
            application.remove(element)
    for name in LATER_ATTRIBUTES:
        if application.attrib.pop(f"{{{ANDROID}}}{name}", None) is not None:
            left_out.append(f"android:{name}")
    tree.write(target, encoding="utf-8", xml_declaration=True)
    return left_out


def link(out: Path) -> list[str]:
    """Link manifest and resources, and write `R.java`; return what aapt2 could not check."""
    for needed in (FRAMEWORK, shutil.which("aapt2")):
        if needed is None or not Path(needed).exists():
            raise SystemExit(
                "aapt2 is not there; on Debian: apt-get install aapt android-framework-res"
            )
    left_out = linked_manifest(APP / "AndroidManifest.xml", out / "AndroidManifest.xml")
    _run("aapt2", "compile", "--dir", APP / "res", "-o", out / "res.zip")
    _run(
        *("aapt2", "link", "-I", FRAMEWORK, "--manifest", out / "AndroidManifest.xml"),
        *("--min-sdk-version", MIN_SDK, "--target-sdk-version", LINKED_SDK),
        *("--java", out / "java", "-o", out / "resources.apk", out / "res.zip"),
    )
    return left_out


def compile_java(java: Path, classes: Path) -> None:
    """Compile the stubs and `R.java`; warnings are errors."""
    sources = sorted([*(STUBS / "src/main/java").rglob("*.java"), *java.rglob("*.java")])
    flags = ("-Xlint:all", "-Werror", "--release", RELEASE, "-encoding", "UTF-8")
    _run("javac", *flags, "-d", classes, *sources)


def _run(*command: object) -> None:
    if subprocess.run([str(word) for word in command], check=False).returncode != 0:
        raise SystemExit(f"{command[0]} failed")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("out", type=Path, help="folder for the classes, emptied first")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="edgegen-resources-") as work:
        left_out = link(Path(work))
        compile_java(Path(work) / "java", out)
    print(f"resources linked, without what came after API {LINKED_SDK}: {', '.join(left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
