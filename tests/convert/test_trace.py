"""What is handed to the converter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import edgegen
from edgegen.convert.trace import read_constants
from tests.hf import save_checkpoint, tiny_config


@dataclass(frozen=True)
class EverySecond:
    """A vector that lies in memory with gaps, as one that was cut out of a kernel."""

    whole: npt.NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.whole) // 2,)

    def read(self) -> npt.NDArray[np.float32]:
        return self.whole[::2]


def test_constants_are_in_one_piece(tmp_path: Path) -> None:
    """The converter now and then takes one that is not for another."""
    save_checkpoint(tmp_path, tiny_config("llama"))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    cut = EverySecond(np.arange(128, dtype=np.float32))
    sources = {**model.sources, "norm.weight": cut}

    constants = read_constants(replace(model, sources=sources))

    assert not cut.read().flags.c_contiguous
    assert all(constant.is_contiguous() for constant in constants.values())
    np.testing.assert_array_equal(constants["norm.weight"].numpy(), cut.read())
