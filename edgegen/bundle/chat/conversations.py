"""Conversations: what is said, by whom, and those that templates are tried on."""

from __future__ import annotations

from dataclasses import dataclass

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"


@dataclass(frozen=True)
class Conversation:
    """What a template is given.

    Attributes:
        turns: (role, text) of each message; roles are Hugging Face's.
        generation: Ask for the text that begins the model's next answer (add_generation_prompt).
    """

    turns: tuple[tuple[str, str], ...]
    generation: bool = True

    def with_system(self, text: str) -> Conversation:
        """Return the conversation with a system prompt first, unless it has one or it is empty."""
        if not text or self.turns[0][0] == SYSTEM:
            return self
        return Conversation(((SYSTEM, text), *self.turns), self.generation)

    def stripped(self) -> Conversation:
        """Return the conversation without the space around its texts."""
        return Conversation(tuple((r, t.strip()) for r, t in self.turns), self.generation)

    def __str__(self) -> str:
        said = ", ".join(f"{role} {text!r:.40}" for role, text in self.turns[:4])
        said += f" and {len(self.turns) - 4} more" if len(self.turns) > 4 else ""
        return said if self.generation else f"{said}, without generation prompt"


def talk(*texts: str, system: str | None = None, generation: bool = True) -> Conversation:
    """Return a conversation in which user and model take turns; the user begins."""
    turns = tuple((ASSISTANT if n % 2 else USER, text) for n, text in enumerate(texts))
    first = () if system is None else ((SYSTEM, system),)
    return Conversation((*first, *turns), generation)


_TEXTS = (
    "Hello",
    "2 + 2 = 4.",
    'He said "hi", it\'s <b>&amp;</b>',
    "one\ntwo\n\nthree",
    "Grüße, 世界, नमस्ते 👩\u200d👩\u200d👧",
    "{{ messages }} {% if x %} {# y #}",
    "a\\nb\tc",
)
_SPACED = ("  Hello", "Hello \n", "\n\nHello\n\n", "\tHello\u00a0")
_SYSTEM = 'Be brief.\nAnswer in "French".'
_THOUGHT = "<think>\nWell.\n</think>\n\nYes."

# Class of conversations -> its conversations. Those of the first two are what every chat is made
# of: where they differ, prefixes and suffixes are of no use.
CLASSES: dict[str, tuple[Conversation, ...]] = {
    "one question": tuple(talk(text) for text in _TEXTS),
    "several turns": (
        talk("Hello", "Hi!", "Who are you?"),
        talk("a", "b", "c", "d", "e"),
        *(talk("Hello", text, text) for text in _TEXTS),
        talk(*(_TEXTS + _TEXTS)[:13]),
    ),
    "a system prompt": (
        talk("Hello", system="You are a pirate."),
        *(talk(text, system=_SYSTEM) for text in _TEXTS),
        talk("Hello", "Hi!", "Who are you?", system=_SYSTEM),
        talk("a", "b", "c", "d", "e", system="x"),
    ),
    "no generation prompt": (
        talk("Hello", generation=False),
        talk("a", "b", "c", generation=False),
    ),
    "an answer at the end": (
        talk("Hello", "Hi!", generation=False),
        talk("a", "b", "c", "d", generation=False),
    ),
    "space around texts": (
        *(talk(text) for text in _SPACED),
        *(talk("Hello", text, text) for text in _SPACED),
    ),
    "an empty text": (talk(""), talk("Hello", "", "Hello")),
    "answers that think": (
        talk("Hello", _THOUGHT, "Why?"),
        talk("a", _THOUGHT, "c", _THOUGHT, "e"),
    ),
}
REQUIRED = ("one question", "several turns")
THINKING = "answers that think"
