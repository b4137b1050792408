"""The rungs of the parity ladder: two neighbours each, compared on the same text."""

from edgegen.ladder.rungs import Ladder, Rung

__all__ = ["Ladder", "Rung"]
