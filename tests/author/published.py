"""Published configs, and what transformers 5 makes of a config when it saves it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.hf import tiny_config

REAL = Path(__file__).parent / "real"


def published(name: str) -> dict[str, Any]:
    return json.loads((REAL / f"{name}.json").read_text())


def resaved(config: dict[str, Any]) -> dict[str, Any]:
    values = {k: v for k, v in config.items() if k not in ("model_type", "auto_map")}
    with tempfile.TemporaryDirectory() as folder:
        AutoConfig.for_model(config["model_type"], **values).save_pretrained(folder)
        return json.loads((Path(folder) / "config.json").read_text())


def read(config: dict[str, Any]) -> Any:
    return architecture(config["model_type"]).read_config(config)


def assert_reads_as_resaved(config: dict[str, Any]) -> Any:
    """The older and the newer spelling of a config, and its defaults, mean the same to us."""
    found = read(config)
    assert found == read(resaved(config))
    return found


def assert_refused(model_type: str, message: str, **changes: Any) -> None:
    config = {k: v for k, v in tiny_config(model_type, **changes).items() if v is not ...}
    with pytest.raises(ConfigError) as raised:
        read(config)
    assert raised.value.message == message
    assert raised.value.hint
