"""What transformers says, for whoever has it installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgegen.convert.parity import Logits


class NoOracleError(Exception):
    """transformers cannot be asked; the message says why."""


def transformers_logits(checkpoint: Path, tokens: Sequence[int]) -> Logits:
    """Compute transformers' logits `[T, V]` after each of `tokens`, in float32.

    The folder alone is read, and no code in it is run.

    Raises:
        NoOracleError: transformers is not installed, or it cannot run the checkpoint.
    """
    try:
        # No dependency: whoever has it gets one more rung.
        import transformers
    except ImportError:
        raise NoOracleError("transformers is not installed") from None
    library: Any = transformers  # much of it has no types
    bars = library.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # a library prints nothing
    try:
        opened = library.AutoModelForCausalLM.from_pretrained(
            checkpoint,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        ).eval()
        with torch.no_grad():
            logits = opened(torch.tensor([tokens]), use_cache=False).logits[0]
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise NoOracleError(f"transformers cannot run the checkpoint: {first}") from error
    finally:
        if shown:
            bars.enable_progress_bar()
    found: Logits = logits.float().numpy().astype(np.float32, copy=False)
    return found
