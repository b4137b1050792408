"""Embedding tables."""

from __future__ import annotations

from torch import nn


class Embedding(nn.Embedding):
    """A table whose rows are looked up, as `torch.nn.Embedding`.

    Its values are loaded, so none are drawn when it is made. Drawing them, even on the meta
    device, imports the better part of torch's compiler: 1.2 of the 3.4 seconds that
    `edgegen check` took.
    """

    def reset_parameters(self) -> None:
        """Leave the table as it is."""
