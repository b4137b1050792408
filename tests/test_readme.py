"""What the documents tell a user to type is understood, and what they point to exists."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

import edgegen
from edgegen.cli import VERBS, main

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")),
)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
README = TEXTS["README.md"]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Return what follows `$ ` in console blocks, continued lines joined."""
    joined = "\n".join(blocks(text, "console")).replace("\\\n", " ")
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def make_targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def mentioned_targets(text: str) -> set[str]:
    return set(re.findall(r"^\$ make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE))


EDGEGEN_COMMANDS = [
    (name, command)
    for name, text in TEXTS.items()
    for command in commands(text)
    if command.startswith("edgegen ")
]


@pytest.mark.parametrize(("document", "command"), EDGEGEN_COMMANDS)
def test_command_is_understood(document, command, monkeypatch):
    """Parsed by the real parser; the verb itself does not run."""
    words = shlex.split(command, comments=True)[1:]
    assert words[0] in VERBS
    monkeypatch.setattr(f"edgegen.cli.{words[0]}.run", lambda arguments: 0)
    # -v, because silencing third parties would last beyond this test.
    assert main([*words, "-v"]) == 0


def test_readme_shows_the_main_verbs():
    shown = {command.split()[1] for _, command in EDGEGEN_COMMANDS}
    assert {"build", "run", "bench", "inspect"} <= shown


def test_a_wrong_command_would_be_noticed():
    [command] = commands("```console\n$ edgegen inspect a.task \\\n    --no-such-option\n```\n")
    with pytest.raises(SystemExit):
        main(shlex.split(command)[1:])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document):
    known = make_targets((ROOT / "Makefile").read_text())
    assert {"setup", "demo", "test"} <= known
    mentioned = {first or second for first, second in mentioned_targets(TEXTS[document])}
    assert mentioned <= known


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_exist(document):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[document])
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_source_files_exist(document):
    """A path in backticks; an X in it stands for anything, and <...> for a reader's choice."""
    places = r"`((?:edgegen|tests|scripts|requirements|docs|benchmarks)/[\w./-]*)`"
    named = re.findall(places, TEXTS[document])
    assert [path for path in named if not any(ROOT.glob(path.replace("X", "*")))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_number_is_left_to_fill_in(document):
    assert re.findall(r"@@\w+@@", TEXTS[document]) == []


def test_python_example_imports_and_calls_what_exists():
    """Names are looked up and arguments bound to signatures; nothing is converted."""
    [example] = blocks(README, "python")
    tree = ast.parse(example)
    names = {"edgegen": edgegen}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            names.update({alias.name: getattr(module, alias.name) for alias in node.names})
    called = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        target = node.func
        if isinstance(target, ast.Name) and target.id in names:
            function = names[target.id]
        elif isinstance(target, ast.Attribute) and ast.unparse(target.value) == "edgegen":
            function = getattr(edgegen, target.attr)
        else:
            continue
        keywords = {keyword.arg: None for keyword in node.keywords}
        inspect.signature(function).bind(*node.args, **keywords)
        called.add(ast.unparse(target))
    assert {"edgegen.open_checkpoint", "edgegen.author_model", "edgegen.convert_model"} <= called
    assert {"edgegen.write_bundle", "edgegen.generate", "edgegen.bench"} <= called


def test_every_recipe_has_a_row_and_every_row_a_recipe():
    from edgegen.convert.recipes import RECIPES

    section = README.partition("## Recipes")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(RECIPES)
