"""Which models take an operator's message in the middle of a conversation (BEHAVIOUR 5.7)."""

import re

_TAKE_SYSTEM_TURNS = (
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-fable-5",
    "claude-fable-5-1",
    "claude-mythos-5",
    "claude-mythos-5-1",
)
_NAMES = "|".join(_TAKE_SYSTEM_TURNS)
_MODEL = re.compile(rf"({_NAMES})(-\d{{8}})?")


def takes_system_turns(model: str) -> bool:
    """Whether a model, plain or with its date, is known to take `role: "system"` turns."""
    return _MODEL.fullmatch(model) is not None
