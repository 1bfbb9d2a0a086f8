"""Metadata: 16 pairs, keys to 64 characters, values to 512; updates are patches (BEHAVIOUR 1.7)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from freehold.errors import InvalidRequest

MAX_PAIRS = 16
MAX_KEY = 64
MAX_VALUE = 512


def _null_is_empty(value: object) -> object:
    return {} if value is None else value


def check_metadata(bag: Mapping[str, str]) -> dict[str, str]:
    """The bag, within bounds. Raises InvalidRequest with code `invalid_metadata`."""
    problem = None
    if len(bag) > MAX_PAIRS:
        problem = f"at most {MAX_PAIRS} pairs are allowed"
    for key, value in bag.items():
        if not 1 <= len(key) <= MAX_KEY:
            problem = f"keys must have 1 to {MAX_KEY} characters"
        elif len(value) > MAX_VALUE:
            problem = f"the value of {key!r} has more than {MAX_VALUE} characters"
    if problem:
        raise InvalidRequest(f"metadata: {problem}", details={"error_code": "invalid_metadata"})
    return dict(bag)


Metadata = Annotated[
    dict[str, str],
    BeforeValidator(_null_is_empty, json_schema_input_type=dict[str, str] | None),
    AfterValidator(check_metadata),
]
"""A bag as sent with a create; null = empty."""

MetadataPatch = Annotated[
    dict[str, str | None],
    BeforeValidator(_null_is_empty, json_schema_input_type=dict[str, str | None] | None),
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
