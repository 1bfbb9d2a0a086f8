"""Bodies and queries made from the API's own document: those that fit it, and those that break it
in one known place.

A value breaks a schema where `misfits` says so, and every body derived here is put to that judge
before it is sent: what is refused for another reason than the one intended proves nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract.json_schema import COMPONENTS, misfits

Path = tuple[int | str, ...]

JUNK = (None, True, 0, -1, 1.5, 10**400, "", "no such thing", " ", [], [None], {}, {"nothing": 1})
"""One of every type and some of their edges; what fits the schema at hand is left out."""

UNKNOWN = "unknown_field"

NOT_YET = re.compile(r"`(.+)` is not supported by this server yet\.\Z")
"""Says the feature, which is more than the field."""


@dataclass(frozen=True)
class Broken:
    """A value with one fault. `path` is where, `fault` what; `at_tag`: what tells the arms of a
    union apart, which is a fault of the whole object.
    """

    value: Any
    fault: str
    path: Path = ()
    at_tag: bool = False

    def inside(self, value: Any, step: int | str) -> Broken:
        """The same fault in a value around it."""
        return Broken(value, self.fault, (step, *self.path), self.at_tag)

    @property
    def named(self) -> str:
        """The path as the server words it."""
        return ".".join(map(str, self.path))

    def is_named_by(self, message: str) -> bool:
        """Whether a refusal says where the fault is."""
        if self.named in message:
            return True
        if refused := NOT_YET.match(message):
            return not set(re.findall(r"\w+", refused[1])).isdisjoint(map(str, self.path))
        if not self.path:
            return False
        *parents, tag = map(str, self.path)
        return self.at_tag and ".".join(parents) in message and tag in message


def _name(schema: Mapping[str, Any]) -> str:
    """Of the model that a schema refers to; empty for one that is written out."""
    return str(schema.get("$ref", "")).removeprefix(COMPONENTS)


def _constants(schema: Mapping[str, Any]) -> list[str]:
    """What a field may be, where that is a list."""
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _item(place: tuple[str, str]) -> tuple[str, str]:
    """Of a list, the place of what is in it."""
    return place[0], f"{place[1]}[]"


@dataclass
class Deriver:
    """`words` are the values of fields that a schema leaves open and a server does not, such as
    ids, by model and field. Models in `unserved` are never used to fit. `seed` decides what stands
    around a fault.
    """

    defined: Mapping[str, Any]
    words: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    unserved: frozenset[str] = frozenset()
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._fitting: dict[str, list[Any]] = {}

    # ------------------------------------------------------------ what fits
    def fitting(self, schema: Mapping[str, Any], place: tuple[str, str] = ("", "")) -> list[Any]:
        """Values that fit: of an object the least, and with each other property in every form it
        has; of a union every arm.
        """
        if "$ref" in schema:
            name = _name(schema)
            if name not in self._fitting:
                self._fitting[name] = self.fitting(self.defined[name])
            return self._fitting[name]
        if place in self.words:
            return list(self.words[place])
        arms = schema.get("oneOf") or schema.get("anyOf")
        if arms:
            served = [arm for arm in arms if _name(arm) not in self.unserved]
            return [value for arm in served for value in self.fitting(arm, place)]
        if constants := _constants(schema):
            return constants
        return getattr(self, f"_fitting_{schema.get('type', 'any')}")(schema, place)

    def _fitting_object(self, schema: Mapping[str, Any], _: Any = None) -> list[Any]:
        known = schema.get("properties", {})
        title = schema.get("title", "")
        least = self._least(schema)
        found = [least]
        for name, inner in known.items():
            values = self.fitting(inner, (title, name))
            values = values if name not in least else values[1:]
            found += [{**least, name: value} for value in values]
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            found += [{"key": value} for value in self.fitting(extra)]
        elif extra is True:
            found.append({**least, "x-key": [1, {"a": None}]})
        return found

    def _least(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        known, title = schema.get("properties", {}), schema.get("title", "")
        return {
            name: self.fitting(known[name], (title, name))[0] for name in schema.get("required", ())
        }

    def _fitting_array(self, schema: Mapping[str, Any], place: tuple[str, str]) -> list[Any]:
        if schema.get("maxItems") == 0:
            return [[]]
        values = [[value] for value in self.fitting(schema["items"], _item(place))]
        return values if schema.get("minItems") else [*values, []]

    def _fitting_string(self, schema: Mapping[str, Any], _: Any) -> list[Any]:
        longest = schema.get("maxLength")
        return ["text"[:longest], *(["ä" * longest] if longest and "pattern" not in schema else ())]

    def _fitting_integer(self, schema: Mapping[str, Any], _: Any) -> list[Any]:
        low, high = schema.get("minimum", 0), schema.get("maximum")
        return [low, *([high] if high is not None else ())]

    def _fitting_boolean(self, *_: Any) -> list[Any]:
        return [False, True]

    def _fitting_null(self, *_: Any) -> list[Any]:
        return [None]

    def _fitting_any(self, *_: Any) -> list[Any]:
        return [None, "anything"]

    # ------------------------------------------------------------ what does not
    def broken(self, schema: Mapping[str, Any]) -> Iterator[Broken]:
        """Every fault at every depth, each alone in a value that fits otherwise."""
        for found in self._broken(schema, ("", "")):
            assert misfits(found.value, schema, self.defined), found
            yield found

    def _broken(self, schema: Mapping[str, Any], place: tuple[str, str]) -> Iterator[Broken]:
        if "$ref" in schema:
            schema = self.defined[_name(schema)]
        here = [Broken(value, fault) for value, fault in self._beyond(schema, place)]
        deeper: list[Broken] = []
        tag = schema.get("discriminator", {}).get("propertyName")
        arms = schema.get("oneOf") or schema.get("anyOf") or ()
        for arm in arms:
            for found in self._broken(arm, place):
                (deeper if found.path else here).append(found)
        here += [Broken(value, "type") for value in JUNK]
        seen: list[Any] = []
        for found in here:
            if found.value not in seen and misfits(found.value, schema, self.defined):
                seen.append(found.value)
                yield found
        # Without its tag a value is of no arm, whichever one it came from.
        yield from (found for found in deeper if found.path != (tag,))
        if tag:
            served = [arm for arm in arms if _name(arm) not in self.unserved]
            yield from self._mistagged(served[0], tag)
        if "properties" in schema or isinstance(schema.get("additionalProperties"), dict):
            yield from self._broken_object(schema)
        if schema.get("type") == "array" and schema.get("maxItems") != 0:
            yield from self._broken_array(schema, place)

    def _beyond(
        self, schema: Mapping[str, Any], place: tuple[str, str] = ("", "")
    ) -> Iterator[tuple[Any, str]]:
        """Values just out of bounds."""
        if "maxLength" in schema:
            yield "x" * (schema["maxLength"] + 1), "too long"
        if "pattern" in schema:
            yield from ((text, "pattern") for text in ("a b", "ä", "a\n", "\u0000", "a/b"))
        if "maximum" in schema:
            yield schema["maximum"] + 1, "too large"
        if "minimum" in schema:
            yield schema["minimum"] - 1, "too small"
        if schema.get("maxItems"):
            (least, *_) = self.fitting(schema["items"], _item(place))
            yield [least] * (schema["maxItems"] + 1), "too many"
        if "maxProperties" in schema:
            (least, *_) = self.fitting(schema["additionalProperties"])
            many = range(schema["maxProperties"] + 1)
            yield {f"key{n}": least for n in many}, "too many"
        for text in _constants(schema)[:1]:
            yield from ((wrong, "constant") for wrong in (text.upper(), f" {text}", text[:-1]))

    def _mistagged(self, arm: Mapping[str, Any], tag: str) -> Iterator[Broken]:
        value = self.fitting(arm)[0]
        without = {name: inner for name, inner in value.items() if name != tag}
        yield Broken(without, "no tag", (tag,), at_tag=True)
        for wrong in (None, 1, [], {}, "", "no such thing", value[tag].upper()):
            yield Broken({**value, tag: wrong}, "wrong tag", (tag,), at_tag=True)

    def _broken_object(self, schema: Mapping[str, Any]) -> Iterator[Broken]:
        least, title = self._least(schema), schema.get("title", "")
        for name in least:
            without = {n: value for n, value in least.items() if n != name}
            yield Broken(without, "missing", (name,))
        for name, inner in schema.get("properties", {}).items():
            for found in self._broken(inner, (title, name)):
                yield found.inside({**self._around(schema), name: found.value}, name)
        extra = schema.get("additionalProperties", True)
        if extra is False:
            for value in (None, 1, {}):
                yield Broken({**self._around(schema), UNKNOWN: value}, "unknown", (UNKNOWN,))
        elif isinstance(extra, dict):
            for found in self._broken(extra, (title, "")):
                yield found.inside({**least, "key": found.value}, "key")
            for name, fault in self._beyond(schema.get("propertyNames", {})):
                yield Broken({**least, name: self.fitting(extra)[0]}, fault)

    def _around(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """An object that fits: what the fault is put into."""
        return dict(self._random.choice(self._fitting_object(schema)))

    def _broken_array(self, schema: Mapping[str, Any], place: tuple[str, str]) -> Iterator[Broken]:
        sound = self.fitting(schema["items"], _item(place))
        room = min(schema.get("maxItems", 3) - 1, 2)
        for found in self._broken(schema["items"], _item(place)):
            number = min(len(sound), self._random.randint(0, room))
            before = self._random.sample(sound, number)
            yield found.inside([*before, found.value], len(before))
