"""Chat templates in a `.litertlm`: made for LiteRT-LM's template engine, and tried in it."""

from __future__ import annotations

import datetime
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.bundle.chat.adapter import adapt_template
from edgegen.bundle.chat.affixes import PROBES, derive, without_start
from edgegen.bundle.chat.conversations import CLASSES, THINKING, USER, Conversation, talk
from edgegen.bundle.chat.fit import around_difference
from edgegen.bundle.chat.rendering import Rendering, render_template
from edgegen.bundle.chat_files import thinks
from edgegen.bundle.parameters import GenerationParameters
from edgegen.errors import EngineError

TIMEOUT_S = 120.0
_START_CHILD = (
    "import sys; where, *sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle.chat.runtime_child import main; main(where)"
)
_MAX_ANSWER_BYTES = 64 * 1024**2
_NEXT = "Zq3xc"
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class RuntimeFit:
    """What the runtime's own engine makes of a template.

    Attributes:
        conversations: How many were tried.
        exact: How many came out as transformers renders them, less the start token.
        next_turn: Whether what the runtime feeds for a second question is exactly what the
            template writes after the first answer's stop token; `None` where that is not known.
        difference: The first that differs, in words; empty where none does.
    """

    conversations: int
    exact: int
    next_turn: bool | None
    difference: str = ""

    @property
    def same(self) -> bool:
        """Whether everything tried came out the same."""
        return self.exact == self.conversations and self.next_turn is not False

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values."""
        return {**asdict(self), "same": self.same}


def runtime_template(parameters: GenerationParameters) -> str | None:
    """Return the chat template as a `.litertlm` carries it, `None` where there is none.

    Raises:
        CheckpointError: the template is no Jinja, or takes too much time or memory.
    """
    if parameters.chat_template is None:
        return None
    return adapt_template(
        parameters.chat_template,
        parameters.template_tokens,
        start_token=parameters.start_token,
        before_question=_before_question(parameters) or "",
    )


def check_runtime_template(
    parameters: GenerationParameters,
    bundle: str | Path,
    *,
    template: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> RuntimeFit:
    """Compare LiteRT-LM's renderings with transformers' on the conversations of `fit_template`.

    A template that writes nothing of what is said is no chat template: then none counts as exact,
    and the engine is not asked.

    Args:
        parameters: They have the chat template.
        bundle: Any bundle that LiteRT-LM opens; the template need not be in it.
        template: The template to try; by default what `runtime_template` makes.
        timeout_s: Limit for the engine, which also answers two questions.

    Raises:
        CheckpointError: the template is no Jinja, or takes too much time or memory.
        EngineError: the engine does not open the bundle, crashes, or takes too long.
        ValueError: the parameters have no template.
    """
    original = parameters.chat_template
    tried = template if template is not None else runtime_template(parameters)
    if original is None or tried is None:
        raise ValueError("there is no chat template")
    conversations = _conversations(original)
    # The runtime tells the day by UTC. At midnight this may fail once.
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()
    wanted = render_template(original, conversations, parameters.template_tokens, now=now)
    unheard = _unheard(conversations, wanted)
    if unheard:
        # The engine may well make the same of it.
        return RuntimeFit(len(conversations), 0, None, unheard)
    answer = _ask(tried, conversations, Path(bundle), timeout_s)
    exact, first = 0, ""
    for conversation, want, got in zip(conversations, wanted, answer["renderings"], strict=True):
        expected = None if want.text is None else without_start(parameters.start_token, want.text)
        # Where the template refuses, the runtime must not make something up.
        if got["text"] == expected:
            exact += 1
        elif not first:
            first = _difference(str(conversation), expected, want.error, got)
    next_turn = None
    expected = _before_question(parameters)
    if expected is not None:
        ending = _after_question(parameters)
        fed = answer["next"]["text"]
        next_turn = fed == f"{expected}{_NEXT}{ending}"
        if not next_turn and not first:
            asked = "the second question of a chat"
            first = _difference(asked, f"{expected}{_NEXT}{ending}", None, answer["next"])
    return RuntimeFit(len(conversations), exact, next_turn, first)


def _unheard(conversations: Sequence[Conversation], wanted: Sequence[Rendering]) -> str:
    """Say so if no question is in what the template makes of it."""
    for conversation, rendering in zip(conversations, wanted, strict=True):
        asked = conversation.turns[-1][1].strip()
        if asked and rendering.text is not None and asked in rendering.text:
            return ""
    made, refusal = wanted[0].text, wanted[0].error
    what = f"is refused: {refusal}" if made is None else f"becomes {made[:_SHOWN_CHARACTERS]!r}"
    return f"the template writes nothing of what is said: ({conversations[0]}) {what}"


def _conversations(template: str) -> list[Conversation]:
    # The runtime is only ever asked for the next answer, and always after a question.
    return [
        conversation
        for name, group in CLASSES.items()
        for conversation in group
        if conversation.generation and (name != THINKING or thinks(template))
    ]


def _difference(name: str, expected: str | None, refusal: str | None, got: dict[str, Any]) -> str:
    if expected is not None and got["text"] is not None:
        here, there = around_difference(expected, got["text"])
        return f"of ({name}) transformers makes {here!r}, LiteRT-LM {there!r}"
    if expected is None:
        return f"({name}) is refused by transformers ({refusal}), but not by LiteRT-LM"
    return f"({name}) is refused by LiteRT-LM: {got['error']}"


def _before_question(parameters: GenerationParameters) -> str | None:
    """Return what the template writes between an answer's stop token and the next question."""
    renderings = render_template(
        str(parameters.chat_template),
        [c.with_system(parameters.system_prompt) for c in PROBES],
        parameters.template_tokens,
    )
    derived = derive(parameters.start_token, renderings)
    if derived.error is not None:
        return None
    end = derived.texts["prompt_suffix_model"]
    for stop in parameters.stop_tokens:
        _, found, after = end.partition(stop)
        if stop and found:
            return after + derived.texts["prompt_prefix_user"]
    return end + derived.texts["prompt_prefix_user"]


def _after_question(parameters: GenerationParameters) -> str:
    question = Conversation((*talk("Hello", "Hi!").turns, (USER, _NEXT)))
    (rendering,) = render_template(
        str(parameters.chat_template), [question], parameters.template_tokens
    )
    return str(rendering.text).rpartition(_NEXT)[2]


def _ask(
    template: str, conversations: Sequence[Conversation], bundle: Path, timeout_s: float
) -> dict[str, Any]:
    if importlib.util.find_spec("litert_lm") is None:
        raise EngineError(
            "LiteRT-LM is not installed, whose template engine is to be asked",
            "install it for this Python: pip install litert-lm-api",
        )
    request = {
        "bundle": str(bundle.absolute()),
        "template": template,
        "next": _NEXT,
        "conversations": [c.turns for c in conversations],
    }
    with tempfile.TemporaryDirectory(prefix="edgegen-") as folder:
        answers, log = Path(folder) / "answers", Path(folder) / "log"
        with log.open("wb") as messages:
            try:
                done = subprocess.run(
                    [sys.executable, "-c", _START_CHILD, folder, *sys.path],
                    input=json.dumps(request).encode(),
                    stdout=messages,
                    stderr=messages,
                    timeout=timeout_s,
                    check=False,
                    start_new_session=True,
                )
            except subprocess.TimeoutExpired as error:
                raise EngineError(
                    f"the engine had not rendered the chat template after {timeout_s:g} s",
                    "allow more time, or check the template in a smaller bundle",
                ) from error
        if done.returncode != 0 or not answers.is_file():
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise EngineError(
                f"the engine did not render the chat template (exit status {done.returncode}): "
                f"{''.join(last)[:300]}",
                f"check that the bundle runs: edgegen run {bundle}",
            )
        with answers.open("rb") as file:
            found: dict[str, Any] = json.loads(file.read(_MAX_ANSWER_BYTES))
    return found
