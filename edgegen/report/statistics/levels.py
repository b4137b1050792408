"""How often the tests may be wrong."""

from __future__ import annotations

# At most this share of comparisons of a thing with itself says that they differ. A report makes
# many comparisons, and whoever reads a verdict stops work for it: stricter than the usual 5 %.
LEVEL = 0.01
