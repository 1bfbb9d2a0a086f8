"""Which effort levels a model knows, and which one it has when none is asked for."""

from freehold.wire.agent_definition import EffortLevel

_BASIC: tuple[EffortLevel, ...] = ("low", "medium", "high")
_LEVELS: dict[str, tuple[EffortLevel, ...]] = {
    "claude-haiku-4-5": (),
    "claude-sonnet-4-5": (),
    "claude-opus-4-5": _BASIC,
    "claude-opus-4-6": (*_BASIC, "max"),
    "claude-sonnet-4-6": (*_BASIC, "max"),
}
_MEDIUM_BY_DEFAULT = ("claude-opus-5-5", "claude-haiku-5-5")
_FAMILIES = ("claude-opus-", "claude-sonnet-", "claude-haiku-", "claude-fable-", "claude-mythos-")


def effort_levels(model: str) -> tuple[EffortLevel, ...] | None:
    """The levels a model takes; None for one this server does not know: then any level goes."""
    for name, levels in _LEVELS.items():
        if model == name or model.startswith(f"{name}-"):
            return levels
    return (*_BASIC, "xhigh", "max") if model.startswith(_FAMILIES) else None


def default_effort(model: str) -> EffortLevel | None:
    """The level of a request that names none; None where the model knows none or is unknown."""
    if not effort_levels(model):
        return None
    return "medium" if model.startswith(_MEDIUM_BY_DEFAULT) else "high"
