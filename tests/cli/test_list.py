from __future__ import annotations

import json

import pytest

from edgegen.author.models import ARCHITECTURES
from edgegen.cli import main
from edgegen.convert.recipes import RECIPES
from edgegen.device.runners import RUNNERS

KINDS = [
    ("archs", "model_type", sorted(ARCHITECTURES)),
    ("recipes", "recipe", list(RECIPES)),
    ("runners", "runner", list(RUNNERS)),
]


@pytest.mark.parametrize(("kind", "key", "names"), KINDS)
def test_every_entry_is_listed_with_what_it_is(
    capsys: pytest.CaptureFixture[str], kind: str, key: str, names: list[str]
) -> None:
    assert main(["list", kind]) == 0

    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[0] == key
    assert [row.split()[0] for row in rows] == names
    assert all(len(row.split()) > 2 for row in rows)


@pytest.mark.parametrize(("kind", "key", "names"), KINDS)
def test_the_json_has_the_same_entries(
    capsys: pytest.CaptureFixture[str], kind: str, key: str, names: list[str]
) -> None:
    assert main(["list", kind, "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [row[key] for row in rows] == names
    assert all(row["what"] for row in rows)


def test_recipes_name_the_delegates_that_run_them(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "recipes", "--json"])

    found = {row["recipe"]: row["delegates"] for row in json.loads(capsys.readouterr().out)}
    assert found == {name: list(recipe.delegates) for name, recipe in RECIPES.items()}
