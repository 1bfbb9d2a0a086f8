"""Metadata: 16 pairs, keys to 64 characters, values to 512; updates are patches (BEHAVIOUR 1.7)."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from freehold.errors import InvalidRequest

T = TypeVar("T", str, str | None)

MAX_PAIRS = 16
MAX_KEY = 64
MAX_VALUE = 512


def _null_is_empty(value: object) -> object:
    return {} if value is None else value


def check_metadata(bag: Mapping[str, str]) -> dict[str, str]:
    """The bag, within bounds. Raises InvalidRequest with code `invalid_metadata`."""
    if len(bag) > MAX_PAIRS:
        raise _refusal("metadata", f"at most {MAX_PAIRS} pairs are allowed")
    return dict(_check_pairs(bag))


def _check_pairs(patch: Mapping[str, T]) -> Mapping[str, T]:
    for key, value in patch.items():
        if not 1 <= len(key) <= MAX_KEY:
            raise _refusal("metadata", f"keys must have 1 to {MAX_KEY} characters")
        if value is not None and len(value) > MAX_VALUE:
            raise _refusal(f"metadata.{key}", f"values must have at most {MAX_VALUE} characters")
    return patch


def _refusal(place: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{place}: {problem}", details={"error_code": "invalid_metadata"})


_Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]
_Value = Annotated[str, Field(max_length=MAX_VALUE)]
_Bag = Annotated[dict[_Key, _Value], Field(max_length=MAX_PAIRS)]

Metadata = Annotated[
    dict[str, str],
    BeforeValidator(_null_is_empty, json_schema_input_type=_Bag | None),
    AfterValidator(check_metadata),
]
"""A bag as sent with a create; null = empty."""

MetadataPatch = Annotated[
    dict[str, str | None],
    BeforeValidator(_null_is_empty, json_schema_input_type=dict[_Key, _Value | None] | None),
    AfterValidator(_check_pairs),
]
"""A patch as sent with an update: a string sets, null deletes."""


def patch_metadata(
    stored: Mapping[str, str], patch: Mapping[str, str | None], *, empty_deletes: bool = False
) -> dict[str, str]:
    """The bag after a patch. `empty_deletes`: an empty string deletes as null does (environments).

    Raises InvalidRequest when the result is out of bounds.
    """
    bag = dict(stored)
    for key, value in patch.items():
        if value is None or (empty_deletes and not value):
            bag.pop(key, None)
        else:
            bag[key] = value
    return check_metadata(bag)
