"""Content blocks as tools bring them. A tool may bring what a client may send as its result."""

from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from freehold.errors import ApiError
from freehold.toolset import JsonObject
from freehold.wire.content_input import CheckedResultContent
from freehold.wire.search_results import check_search_result

_Block = Annotated[CheckedResultContent, AfterValidator(check_search_result)]


def why_not_taken(block: JsonObject) -> str | None:
    """What the model's provider would refuse about a block; None for one that it takes."""
    try:
        _adapter().validate_python(block)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        return found["msg"].removeprefix("Value error, ")
    except ApiError as error:  # kinds of content that the API has and this server does not
        return str(error)
    return None


@cache
def _adapter() -> TypeAdapter[Any]:
    """Built when the first tool brings something."""
    return TypeAdapter(_Block)
