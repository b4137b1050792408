"""From a Hugging Face checkpoint to an `nn.Module` built from mobile-friendly blocks."""

from edgegen.author.checkpoint import Checkpoint, open_checkpoint
from edgegen.author.model import AuthoredModel, author_model

__all__ = ["AuthoredModel", "Checkpoint", "author_model", "open_checkpoint"]
