"""From a Hugging Face checkpoint to an `nn.Module` built from mobile-friendly blocks."""

from edgegen.author.checkpoint import Adapter, Checkpoint, open_checkpoint
from edgegen.author.lora import merge_adapter
from edgegen.author.model import AuthoredModel, author_model

__all__ = [
    "Adapter",
    "AuthoredModel",
    "Checkpoint",
    "author_model",
    "merge_adapter",
    "open_checkpoint",
]
