"""The direction of imports, and what no module may import at all, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgegen

PACKAGE = Path(edgegen.__file__).parent
MODULES = {
    ".".join(("edgegen", *path.relative_to(PACKAGE).with_suffix("").parts)): path.read_text()
    for path in sorted(PACKAGE.rglob("*.py"))
}

# Each may import itself and what stands before it.
STAGES = ("author", "convert", "bundle", "device", "report")
LEAVES = ("errors", "contract", "files", "progress", "metering", "provenance")
# Work without torch: these run on machines that only hold a phone.
LIGHT = ("bundle", "device", "report")
# Join the stages; none of those knows them.
JOINTS = (
    "pipeline",
    "conversion",
    "carried_tokenizer",
    "self_check",
    "ladder",
    "verification",
    "planning",
    "tuning",
)
TORCH_SIDE = ("author", "convert", *JOINTS)
HEAVY = ("torch", "torchao", "litert_torch", "litert_converter", "ai_edge_quantizer", "jax")
CUSTOM_OPS = "litert_torch.generative.custom_ops"
# The one module that asks transformers, for whoever has it; it says so where it is missing
# (tests/test_verification.py).
ORACLE = "edgegen.ladder.oracle"
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
# Weights in these formats run code when they are opened.
UNSAFE = ("pickle", "dill", "cloudpickle", "joblib", "shelve")


def package_of(module: str) -> str:
    """`edgegen.author.layers.rope` -> `author`; `edgegen.errors` -> `errors`; `edgegen` -> ``."""
    parts = module.removesuffix(".__init__").split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(module: str, source: str) -> Iterator[tuple[str, str]]:
    """Yield each (full name, when) that `source` imports.

    `from a import b` yields `a.b`, since b may be a module. When: `start`, with the module
    itself; `call`, inside a function; `types`, by the type checker alone.
    """
    tree = ast.parse(source)
    when: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            when.update(dict.fromkeys(ast.walk(node), "call"))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                when.update(dict.fromkeys(ast.walk(statement), "types"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if node.level:
                up = module.split(".")[: -node.level]
                home = ".".join([*up, *([node.module] if node.module else [])])
            names = [f"{home}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, when.get(node, "start")) for name in names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def violations(module: str, source: str) -> list[str]:
    """Return every rule that `source`, as the text of `module`, breaks."""
    own = package_of(module)
    found = [
        f"{module} imports {name}: {why}"
        for name, when in imports(module, source)
        for why in (
            *direction_broken(own, name, when),
            *third_party_broken(own, name, when),
            *oracle_broken(module, name, when),
        )
    ]
    attributes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    if "torch.load" in {ast.unparse(node) for node in attributes}:
        found.append(f"{module} calls torch.load: a checkpoint could run code")
    if EMPTY_NAMES & set(module.split(".")):
        found.append(f"{module}: a name that says nothing")
    return found


def direction_broken(own: str, name: str, when: str) -> Iterator[str]:
    if not within(name, "edgegen"):
        return
    target = package_of(name)
    if target == "cli" and own not in ("cli", "__main__"):
        yield "nothing imports cli"
    if target in JOINTS and own in (*STAGES, *LEAVES):
        yield f"{target} joins the stages; none of them knows it"
    if own in LEAVES and target in STAGES:
        yield "a leaf imports no package"
    if own in STAGES and target in STAGES and STAGES.index(target) > STAGES.index(own):
        yield f"{target} comes after {own}"
    if own in LIGHT and target in TORCH_SIDE and when != "types":
        yield f"{own} works without torch, {target} does not"


def third_party_broken(own: str, name: str, when: str) -> Iterator[str]:
    if any(within(name, package) for package in (*UNSAFE, "torch.load")):
        yield "a checkpoint could run code"
    if within(name, "litert_torch.generative") and not within(name, CUSTOM_OPS):
        yield f"of litert_torch.generative only {CUSTOM_OPS} is used"
    if any(within(name, package) for package in HEAVY):
        if own in LIGHT and when != "types":
            yield f"{own} works without torch"
        if own in ("cli", "", "__main__", *LEAVES) and when == "start":
            yield "starting the command line would load it"


def oracle_broken(module: str, name: str, when: str) -> Iterator[str]:
    if within(name, "transformers") and (module, when) != (ORACLE, "call"):
        yield f"transformers is no dependency; {ORACLE} alone may import it, when it is called"


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_rules(module):
    assert violations(module, MODULES[module]) == []


def test_every_module_has_a_known_place():
    """A new package must be given its place in the order before the rules can hold for it."""
    places = {package_of(module) for module in MODULES}
    known = {"", "__main__", "__init__", "cli", "demo", *JOINTS, *STAGES, *LEAVES}
    assert places <= known, f"unknown: {places - known}"


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("edgegen.author.model", "from edgegen.convert import recipes", "convert comes after"),
        ("edgegen.author.model", "from ..convert.spec import X", "convert comes after author"),
        ("edgegen.convert.spec", "def f():\n    import edgegen.bundle.task", "bundle comes after"),
        ("edgegen.bundle.task", "from edgegen import report", "report comes after bundle"),
        ("edgegen.bundle.task", "from edgegen.convert import X", "bundle works without torch"),
        ("edgegen.device.host", "from edgegen.author import X", "device works without torch"),
        ("edgegen.report.stats", "def f():\n    import torch.nn", "report works without torch"),
        ("edgegen.bundle.x", "if TYPE_CHECKING:\n    from edgegen.report import X", "comes after"),
        (
            "edgegen.bundle.x",
            "if TYPE_CHECKING:\n    X = 1\nelse:\n    import torch",
            "without torch",
        ),
        ("edgegen.errors", "from edgegen.bundle import X", "a leaf imports no package"),
        ("edgegen.files", "import torch", "starting the command line"),
        ("edgegen.cli.__init__", "from torch import nn", "starting the command line"),
        ("edgegen.pipeline", "from edgegen.cli import main", "nothing imports cli"),
        ("edgegen.convert.spec", "import edgegen.pipeline", "none of them knows it"),
        ("edgegen.self_check", "from edgegen.cli import main", "nothing imports cli"),
        ("edgegen.author.model", "import transformers", "no dependency"),
        ("edgegen.author.model", "def f():\n    import transformers", "no dependency"),
        ("edgegen.ladder.oracle", "from transformers import AutoModel", "no dependency"),
        ("edgegen.author.model", "import pickle", "could run code"),
        ("edgegen.author.model", "import torch\ntorch.load('x')", "could run code"),
        ("edgegen.author.model", "from torch import load", "could run code"),
        (
            "edgegen.convert.trace",
            "from litert_torch.generative.layers import attention",
            "only litert_torch.generative.custom_ops",
        ),
        ("edgegen.author.utils", "", "a name that says nothing"),
        ("edgegen.bundle.helpers.zip", "", "a name that says nothing"),
    ],
)
def test_each_rule_can_be_broken(module, source, complaint):
    """The negative controls: a rule that flags nothing here would guard nothing above."""
    assert complaint in "\n".join(violations(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("edgegen.cli.build", "from edgegen.pipeline import build"),
        ("edgegen.cli.build", "def run(arguments):\n    import torch"),
        ("edgegen.ladder.oracle", "def f():\n    import transformers"),
        ("edgegen.pipeline", "from edgegen import author, convert, bundle, device, report"),
        ("edgegen.convert.spec", "import torch\nfrom edgegen.author.model import X"),
        ("edgegen.bundle.x", "if TYPE_CHECKING:\n    from edgegen.author.model import X"),
        ("edgegen.report.stats", "from edgegen.device import X\nfrom edgegen.errors import Y"),
        ("edgegen.author.layers.x", "from litert_torch.generative.custom_ops import bmm_4d"),
        ("edgegen.author.layers.attention", "from .rope import Rope\nfrom . import norm"),
    ],
)
def test_what_is_allowed_is_not_flagged(module, source):
    assert violations(module, source) == []
