"""What a bundle carries, whatever its format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgegen.bundle.litertlm_sections import Items
from edgegen.bundle.parameters import GenerationParameters
from edgegen.bundle.tokenizer import SentencePieceTokenizer
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.contract import TASK_MODEL, TASK_MODELS
from edgegen.errors import BundleError

# The oneof of LlmMetadata.llm_model_type: how LiteRT-LM prepares a conversation. A `generic_model`
# is prepared by the chat template alone.
GENERIC_MODEL = "generic_model"


# Both have the same interface; which formats carry which, `formats` knows.
Tokenizer = SentencePieceTokenizer | HfTokenizer


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """Return the hash of what a bundle carries of a tokenizer, before it is packed."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return hashlib.sha256(tokenizer.proto).hexdigest()
    return hashlib.sha256(tokenizer.file.text.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Part:
    """Bytes that lie in a file.

    Attributes:
        path: The file.
        offset: Where they begin.
        size: How many they are.
        crc: Their CRC-32, where a directory tells it.
    """

    path: Path
    offset: int
    size: int
    crc: int | None = None


def require_crc(part: Part, found: int) -> None:
    """Refuse bytes that are not those that were once written; an edit would hide the damage.

    Raises:
        BundleError: the CRC-32 is another than the directory told.
    """
    if part.crc is not None and part.crc != found:
        raise BundleError(
            f"the data at byte {part.offset} of {part.path} is damaged: its CRC-32 is "
            f"{found:08x}, expected {part.crc:08x}",
            "download or copy the bundle again",
        )


@dataclass(frozen=True)
class RuntimeHints:
    """What only a `.litertlm` tells its runtime.

    Attributes:
        llm_model_type: How LiteRT-LM prepares a conversation, as `LlmModelType` names it.
        backend_constraints: For a model's tag the backends that may run it: `cpu`, `gpu`, `npu`,
            `gpu_artisan`. Without an entry, all may.
        min_runtime_version: The least version of LiteRT-LM; `None` for any.
    """

    llm_model_type: str = GENERIC_MODEL
    backend_constraints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_runtime_version: str | None = None


@dataclass(frozen=True)
class ForeignPart:
    """A member or a section that edgegen has no name for.

    Attributes:
        name: The member's name, or the kind of section.
        part: Its bytes.
        number: The kind of section, as the schema numbers it.
        items: What the header says of it.
    """

    name: str
    part: Part
    number: int = 0
    items: Items = field(default_factory=dict)


@dataclass(frozen=True)
class Foreign:
    """What a bundle held that edgegen has no name for, so that an edit does not lose it.

    Attributes:
        format: Of the bundle; other formats cannot take it.
        metadata: The metadata's message as it was, with fields that edgegen does not set.
        parts: Its further members or sections.
        items: By role, what the header of a `.litertlm` says of a section, edgegen's own included.
        system: What that header says of the whole file.
    """

    format: str
    metadata: bytes = field(default=b"", repr=False)
    parts: tuple[ForeignPart, ...] = ()
    items: Mapping[str, Items] = field(default_factory=dict)
    system: Items = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """All that goes into a bundle.

    Attributes:
        models: Where the TFLite models lie, by the tags of `edgegen.contract.TASK_MODELS`. The
            one that prefills and decodes must be there.
        tokenizer: The tokenizer.
        parameters: Generation parameters.
        hints: What only a `.litertlm` can say.
        foreign: What the bundle that it came from held besides.
    """

    models: Mapping[str, Part]
    tokenizer: Tokenizer
    parameters: GenerationParameters
    hints: RuntimeHints = RuntimeHints()
    foreign: Foreign | None = None


@dataclass(frozen=True)
class Member:
    """A part of a bundle's file.

    Attributes:
        name: Its name in the zip, or the section's.
        offset: Byte of the file at which its data starts.
        size: Bytes of data.
        role: What it is to edgegen: a name of `edgegen.contract`, the same in both formats;
            `None` for what edgegen does not know.
        crc: CRC-32 of the data, where a directory tells it.
    """

    name: str
    offset: int
    size: int
    role: str | None = None
    crc: int | None = None


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Nothing but its directory and its metadata has been read.

    Attributes:
        path: The file.
        format: `task` or `litertlm`.
        members: What it holds, in the order of the file.
        parameters: The generation parameters.
        hints: What only a `.litertlm` says.
        foreign: What edgegen has no name for.
    """

    path: Path
    format: str
    members: tuple[Member, ...]
    parameters: GenerationParameters
    hints: RuntimeHints = RuntimeHints()
    foreign: Foreign | None = None

    @property
    def model_span(self) -> tuple[int, int]:
        """Offset and length, in bytes, of the TFLite model that prefills and decodes."""
        member = self.member(TASK_MODEL)
        return member.offset, member.size

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the engine will use, read anew at each call."""
        from edgegen.bundle.formats import FORMATS

        return FORMATS[self.format].read_tokenizer(self)

    @property
    def contents(self) -> Contents:
        """What it carries, to be written again."""
        models = {
            member.role: Part(self.path, member.offset, member.size, member.crc)
            for member in self.members
            if member.role in TASK_MODELS
        }
        return Contents(models, self.tokenizer, self.parameters, self.hints, self.foreign)

    def find(self, role: str) -> Member | None:
        """Return the member of that role, if there is one."""
        return next((member for member in self.members if member.role == role), None)

    def member(self, role: str) -> Member:
        """Return the member of that role.

        Raises:
            BundleError: there is none.
        """
        found = self.find(role)
        if found is None:
            raise BundleError(
                f"{self.path} has no member {role}, it holds: "
                f"{', '.join(member.name for member in self.members) or 'nothing'}",
                "make the bundle again; this one cannot run",
            )
        return found
