"""Rendering chat templates the way transformers does, without trusting them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgegen.bundle.chat.conversations import Conversation
from edgegen.bundle.parameter_values import MAX_TEXT_CHARACTERS
from edgegen.errors import CheckpointError

TIMEOUT_S = 20.0
# The same in every run: what a template writes must not depend on the day.
NOW = "2024-07-26T12:00:00"

# The child finds the same modules as we do and none of the current folder's.
_START_CHILD = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle.chat.render_child import main; main()"
)


@dataclass(frozen=True)
class Rendering:
    """What a template made of a conversation.

    Attributes:
        text: The text, or `None` where the template refused.
        error: Why it refused.
    """

    text: str | None
    error: str | None = None


def render_template(
    template: str,
    conversations: Sequence[Conversation],
    variables: Mapping[str, str],
    *,
    now: str = NOW,
    timeout_s: float = TIMEOUT_S,
) -> list[Rendering]:
    """Render conversations as transformers' `apply_chat_template` does, in another process.

    Args:
        template: The Jinja template.
        conversations: What to render.
        variables: What the template's own variables stand for, such as `bos_token`.
        now: The time that `strftime_now` tells, in ISO 8601.
        timeout_s: Limit for all of them.

    Returns:
        A rendering for each conversation.

    Raises:
        CheckpointError: the template is too long, no Jinja, takes too much time or memory, or
            jinja2 is missing.
    """
    if len(template) > MAX_TEXT_CHARACTERS:
        raise CheckpointError(
            f"the chat template has {len(template)} characters, expected at most "
            f"{MAX_TEXT_CHARACTERS}",
            _HINT,
        )
    request = {
        "template": template,
        "variables": dict(variables),
        "now": now,
        "cpu_s": math.ceil(timeout_s),
        "conversations": [
            {
                "messages": [{"role": role, "content": text} for role, text in c.turns],
                "add_generation_prompt": c.generation,
            }
            for c in conversations
        ],
    }
    answer = _ask(request, timeout_s)
    if "error" in answer:
        raise CheckpointError(f"the chat template cannot be used: {answer['error']}", _HINT)
    return [Rendering(r.get("text"), r.get("error")) for r in answer["renderings"]]


_HINT = "take the template that the model was published with, or none: --chat-template none"


def _ask(request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _START_CHILD, *sys.path],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"the chat template was not rendered after {timeout_s:g} s", _HINT
        ) from error
    if "No module named 'jinja2'" in done.stderr:
        raise CheckpointError(
            "chat templates need jinja2, which is not installed", "install it: pip install jinja2"
        )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise CheckpointError(
            f"the chat template ended its process (exit status {done.returncode}): it takes too "
            "much time or memory",
            _HINT,
        ) from None
    return answer
