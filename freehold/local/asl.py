"""Executes `statemachines/session.asl.json` as Step Functions would: the constructs that file uses,
and no others.

The interpreter is pure. `begin` and the three answers (`succeed`, `fail`, `resume`) say what to do
next: invoke a function (`Call`), let time pass (`Pause`), or nothing any more (`End`). Threads and
clocks are its caller's. A definition with a state type, field, comparator, intrinsic or path form
that is not known here is refused when it is loaded: a file that means something else on AWS must
not half-work on a laptop.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

from freehold.local.asl_check import UnsupportedDefinition, check
from freehold.toolset import Json, JsonObject

__all__ = ["Call", "End", "Machine", "Pause", "Step", "UnsupportedDefinition"]

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """Invoke `resource` with `payload`; answer with `succeed` or `fail`. States.Timeout after
    `timeout_seconds`.
    """

    state: str
    data: JsonObject
    resource: str
    payload: Json
    timeout_seconds: float
    attempts: tuple[int, ...]
    """Retries so far, one count for each retrier of the state."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing happens for `seconds`; then `resume`."""

    seconds: float
    then: Call | Entry


@dataclass(frozen=True, slots=True)
class Entry:
    """A state about to be entered."""

    state: str
    data: JsonObject


@dataclass(frozen=True, slots=True)
class End:
    """The execution has closed: succeeded when `error` is None, else failed by that name."""

    error: str | None = None


Step: TypeAlias = Call | Pause | End


class _RuntimeFailure(Exception):
    """A path that leads nowhere, a choice without a match: fails the execution, past any Catch."""


class Machine:
    """One loaded state machine. Immutable, shared by all executions."""

    def __init__(self, text: str, functions: Mapping[str, str]) -> None:
        """Loads `text` with its `${…}` placeholders replaced from `functions`. Raises
        UnsupportedDefinition.
        """
        wanted = set(_PLACEHOLDER.findall(text))
        if wanted != set(functions):
            odd = ", ".join(sorted(wanted ^ set(functions)))
            raise UnsupportedDefinition(f"placeholders and functions do not agree: {odd}")
        definition = json.loads(_PLACEHOLDER.sub(lambda found: functions[found[1]], text))
        check(definition)
        self._start: str = definition["StartAt"]
        self._states: dict[str, JsonObject] = definition["States"]

    def begin(self, data: JsonObject) -> Step:
        """Starts an execution with this input."""
        return self._enter(Entry(self._start, data))

    def succeed(self, call: Call, result: Json) -> Step:
        """The function of `call` returned `result`."""
        state = self._states[call.state]
        path = state["ResultPath"]
        data = call.data if path is None else {**call.data, cast("str", path)[2:]: result}
        return self._enter(Entry(cast("str", state["Next"]), data))

    def fail(self, call: Call, error: str) -> Step:
        """The function of `call` raised; `error` is its error type. The first Retry, then the first
        Catch that matches.
        """
        state = self._states[call.state]
        retriers = cast("list[JsonObject]", state.get("Retry", []))
        for index, retrier in enumerate(retriers):
            if not _matches(retrier, error):
                continue
            attempt = call.attempts[index]
            if attempt >= cast("int", retrier["MaxAttempts"]):
                break
            counts = (*call.attempts[:index], attempt + 1, *call.attempts[index + 1 :])
            return Pause(_delay(retrier, attempt), replace(call, attempts=counts))
        for catcher in cast("list[JsonObject]", state.get("Catch", [])):
            if _matches(catcher, error):
                return self._enter(Entry(cast("str", catcher["Next"]), call.data))
        return End(error)

    def resume(self, pause: Pause) -> Step:
        """The time of `pause` is over."""
        return pause.then if isinstance(pause.then, Call) else self._enter(pause.then)

    def _enter(self, entry: Entry) -> Step:
        """Follows choices up to the next state that needs the world."""
        try:
            while True:
                state = self._states[entry.state]
                match state["Type"]:
                    case "Choice":
                        entry = Entry(_chosen(state, entry.data), entry.data)
                    case "Wait":
                        seconds = _seconds(state, entry.data)
                        return Pause(seconds, Entry(cast("str", state["Next"]), entry.data))
                    case "Task":
                        return _call(entry, state)
                    case _:
                        return End()
        except _RuntimeFailure as failure:
            return End(str(failure))


def _call(entry: Entry, state: JsonObject) -> Call:
    return Call(
        state=entry.state,
        data=entry.data,
        resource=cast("str", state["Resource"]),
        payload=_filled(state["Parameters"], entry.data),
        timeout_seconds=cast("int", state["TimeoutSeconds"]),
        attempts=(0,) * len(cast("list[Json]", state.get("Retry", []))),
    )


def _chosen(state: JsonObject, data: JsonObject) -> str:
    for rule in cast("list[JsonObject]", state["Choices"]):
        if _at(cast("str", rule["Variable"]), data) == rule["StringEquals"]:
            return cast("str", rule["Next"])
    raise _RuntimeFailure("States.NoChoiceMatched")


def _seconds(state: JsonObject, data: JsonObject) -> float:
    seconds = _at(cast("str", state["SecondsPath"]), data)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
        raise _RuntimeFailure("States.Runtime")
    return seconds


def _filled(template: Json, data: JsonObject) -> Json:
    """Parameters with every `name.$` replaced by what its path finds."""
    if not isinstance(template, dict):
        return template
    return {
        name.removesuffix(".$"): _at(cast("str", value), data)
        if name.endswith(".$")
        else _filled(value, data)
        for name, value in template.items()
    }


def _at(path: str, data: JsonObject) -> Json:
    found: Json = data
    for name in path.split(".")[1:]:
        if not isinstance(found, dict) or name not in found:
            raise _RuntimeFailure("States.Runtime")
        found = found[name]
    return found


def _matches(rule: JsonObject, error: str) -> bool:
    names = cast("list[str]", rule["ErrorEquals"])
    return (
        error in names
        or "States.ALL" in names
        or ("States.TaskFailed" in names and error != "States.Timeout")
    )


def _delay(retrier: JsonObject, attempt: int) -> float:
    interval = cast("int", retrier["IntervalSeconds"])
    factor = cast("float", retrier["BackoffRate"]) ** attempt
    ceiling = min(interval * factor, cast("int", retrier["MaxDelaySeconds"]))
    return random.uniform(0, ceiling)  # noqa: S311 - jitter spreads load; nobody gains by guessing it
