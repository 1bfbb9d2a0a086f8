"""Refuses every state machine that `asl` would not execute exactly as Step Functions does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*)+\Z")
_RESULT_PATH = re.compile(r"\$\.[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = ("States.ALL", "States.TaskFailed", "States.Timeout")

_TOP = {"Comment": False, "QueryLanguage": False, "StartAt": True, "States": True}
_STATES: Mapping[str, Mapping[str, bool]] = {
    "Task": {
        "Type": True,
        "Resource": True,
        "Parameters": True,
        "ResultPath": True,
        "TimeoutSeconds": True,
        "Retry": False,
        "Catch": False,
        "Next": True,
    },
    "Choice": {"Type": True, "Choices": True},
    "Wait": {"Type": True, "SecondsPath": True, "Next": True},
    "Succeed": {"Type": True},
}
_RETRIER = dict.fromkeys(
    (
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
    ),
    True,
)
_CATCHER = {"ErrorEquals": True, "ResultPath": True, "Next": True}
_RULE = {"Variable": True, "StringEquals": True, "Next": True}


class UnsupportedDefinition(Exception):
    """The state machine uses something this runtime does not execute. The message names the place
    and the thing.
    """


def check(definition: Any) -> None:
    """Passes a definition made of the known constructs only. Raises UnsupportedDefinition."""
    _fields(definition, _TOP, "the state machine")
    _equals(definition.get("QueryLanguage", "JSONPath"), "JSONPath", "QueryLanguage")
    states = definition["States"]
    if not isinstance(states, dict):
        raise UnsupportedDefinition("States is not an object")
    for name, state in states.items():
        _state(name, state)
    _graph(definition["StartAt"], states)


def _state(name: str, state: Any) -> None:
    kind = state.get("Type") if isinstance(state, dict) else None
    if not isinstance(kind, str) or kind not in _STATES:
        raise UnsupportedDefinition(f"{name}: state type {kind!r} is not supported")
    _fields(state, _STATES[kind], name)
    checks: dict[str, Callable[[str, dict[str, Any]], None]] = {
        "Task": _task,
        "Choice": _choice,
        "Wait": lambda place, wait: _path(wait["SecondsPath"], place),
        "Succeed": lambda _place, _end: None,
    }
    checks[kind](name, state)


def _task(place: str, task: dict[str, Any]) -> None:
    if not isinstance(task["Resource"], str):
        raise UnsupportedDefinition(f"{place}: Resource is not a string")
    _positive(task["TimeoutSeconds"], f"{place}: TimeoutSeconds")
    _parameters(task["Parameters"], place)
    if task["ResultPath"] is not None:
        _path(task["ResultPath"], place, _RESULT_PATH)
    for rules in (task.get("Retry", []), task.get("Catch", [])):
        _all_comes_last(rules, place)
    for retrier in task.get("Retry", ()):
        _fields(retrier, _RETRIER, f"{place}: Retry")
        _errors(retrier["ErrorEquals"], place)
        _equals(retrier["JitterStrategy"], "FULL", f"{place}: JitterStrategy")
        for field in ("IntervalSeconds", "MaxAttempts", "MaxDelaySeconds", "BackoffRate"):
            _positive(retrier[field], f"{place}: {field}")
    for catcher in task.get("Catch", ()):
        _fields(catcher, _CATCHER, f"{place}: Catch")
        _errors(catcher["ErrorEquals"], place)
        # An error output would bring a message of the program into the state, which carries ids
        # only.
        _equals(catcher["ResultPath"], None, f"{place}: ResultPath of Catch")


def _choice(place: str, choice: dict[str, Any]) -> None:
    if not isinstance(choice["Choices"], list) or not choice["Choices"]:
        raise UnsupportedDefinition(f"{place}: Choices is not a list of rules")
    for rule in choice["Choices"]:
        _fields(rule, _RULE, f"{place}: Choices")
        _path(rule["Variable"], place)
        if not isinstance(rule["StringEquals"], str):
            raise UnsupportedDefinition(f"{place}: StringEquals is not a string")


def _parameters(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith(".$"):
                _path(inner, place)
            else:
                _parameters(inner, place)
    elif isinstance(value, list):
        raise UnsupportedDefinition(f"{place}: a list in Parameters is not supported")


def _graph(start: Any, states: dict[str, dict[str, Any]]) -> None:
    """Every transition leads somewhere, and every state is reached."""
    reached: set[str] = set()
    open_ = [(start, "StartAt")]
    while open_:
        name, place = open_.pop()
        if name not in states:
            raise UnsupportedDefinition(f"{place}: there is no state {name!r}")
        if name in reached:
            continue
        reached.add(name)
        state = states[name]
        sources = [state, *state.get("Choices", ()), *state.get("Catch", ())]
        open_ += [(source["Next"], name) for source in sources if "Next" in source]
    if reached != set(states):
        raise UnsupportedDefinition(f"never reached: {', '.join(sorted(set(states) - reached))}")


def _fields(value: Any, known: Mapping[str, bool], place: str) -> None:
    if not isinstance(value, dict):
        raise UnsupportedDefinition(f"{place} is not an object")
    for name in value:
        if name not in known:
            raise UnsupportedDefinition(f"{place}: field {name!r} is not supported")
    for name, required in known.items():
        if required and name not in value:
            raise UnsupportedDefinition(f"{place}: field {name!r} is required here")


def _path(value: Any, place: str, form: re.Pattern[str] = _PATH) -> None:
    if not isinstance(value, str) or not form.match(value):
        raise UnsupportedDefinition(f"{place}: path {value!r} is not supported")


def _errors(value: Any, place: str) -> None:
    if not isinstance(value, list) or not value:
        raise UnsupportedDefinition(f"{place}: ErrorEquals is not a list of names")
    for name in value:
        if not isinstance(name, str) or (name.startswith("States.") and name not in _RESERVED):
            raise UnsupportedDefinition(f"{place}: error name {name!r} is not supported")
    if "States.ALL" in value and len(value) > 1:
        raise UnsupportedDefinition(f"{place}: States.ALL must stand alone")


def _all_comes_last(rules: Any, place: str) -> None:
    if not isinstance(rules, list):
        raise UnsupportedDefinition(f"{place}: Retry and Catch are lists")
    for rule in rules[:-1]:
        if "States.ALL" in rule.get("ErrorEquals", ()):
            raise UnsupportedDefinition(f"{place}: States.ALL must come last")


def _positive(value: Any, place: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise UnsupportedDefinition(f"{place} must be a positive number")


def _equals(value: Any, expected: Any, place: str) -> None:
    if value != expected:
        raise UnsupportedDefinition(f"{place}: only {expected!r} is supported, not {value!r}")
