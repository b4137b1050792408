"""The tiny checkpoint that edgegen ships: an ordinary Hugging Face folder.

`scripts/train_tiny_shakespeare.py` in the repository made it.
"""

from __future__ import annotations

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "tiny_shakespeare"
PREFILL_LENS = (16, 32, 128)
KV_CACHE_LEN = 512
PROMPT = "ROMEO:\n"
