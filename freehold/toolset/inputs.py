"""What the built-in tools take, and how they are described to the model.

Inputs are those of the SDK's types (BEHAVIOUR 3.2); an unknown field or a wrong type is refused
rather than guessed at.
"""

# The annotations are not postponed: pydantic reads them.

import copy
from functools import cache

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from freehold.toolset import BASH_TIMEOUT_CAP_MS, BASH_TIMEOUT_MS, JsonObject


class _Input(BaseModel):
    """The docstring of a subclass is its tool's description."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class BashInput(_Input):
    """Run a command in a persistent bash shell.

    The working directory, variables and background jobs last from call to call. Standard output and
    standard error come back together. Standard input is empty.
    """

    command: str | None = Field(
        None, description="Shell command to execute. Omit only when `restart` is true."
    )
    restart: bool | None = Field(
        None, description="When true, restart the shell instead of running a command."
    )
    timeout_ms: int | None = Field(
        None,
        description=f"Time limit of this call in milliseconds: {BASH_TIMEOUT_MS} when omitted or"
        f" zero, at most {BASH_TIMEOUT_CAP_MS}. A command that exceeds it is killed with its shell;"
        " restart the shell then.",
    )


class ReadInput(_Input):
    """Read a text file, an image (png, jpeg, gif, webp) or a PDF."""

    file_path: str = Field(
        description="Path of the file, absolute or relative to the working directory."
    )
    view_range: list[int] | None = Field(
        None,
        description="Lines of a text file as [first, last], counted from 1, both included. A last"
        " line of 0 or less means to the end of the file.",
    )


class WriteInput(_Input):
    """Write a file, replacing it if it exists and creating its directories if they do not."""

    file_path: str = Field(
        description="Path of the file, absolute or relative to the working directory."
    )
    content: str = Field(description="The whole content of the file.")


class EditInput(_Input):
    """Replace text in a file by exact match."""

    file_path: str = Field(
        description="Path of the file, absolute or relative to the working directory."
    )
    old_string: str = Field(
        description="Text to replace. It must occur exactly once unless `replace_all` is true."
    )
    new_string: str = Field(description="Text to put in its place.")
    replace_all: bool | None = Field(None, description="When true, replace every occurrence.")


class GlobInput(_Input):
    """List files that match a glob pattern, newest first."""

    pattern: str = Field(description="Relative glob pattern, for example `**/*.py`.")
    path: str | None = Field(
        None, description="Directory to search in; the working directory when omitted."
    )


class GrepInput(_Input):
    """Search the contents of files for a regular expression."""

    pattern: str = Field(description="Regular expression.")
    path: str | None = Field(
        None, description="File or directory to search in; the working directory when omitted."
    )


class WebFetchInput(_Input):
    """Fetch a public web page, PDF or image.

    A page comes back as text. Only a URL that a message of the user, the result of a custom tool,
    or an earlier result of web_search or web_fetch has shown can be fetched.
    """

    url: str = Field(description="The URL, beginning with http:// or https://.")


class WebSearchInput(_Input):
    """Search the web. Each result has a URL, a title and an excerpt."""

    query: str = Field(min_length=2, max_length=1000, description="What to search for.")


INPUTS: dict[str, type[_Input]] = {
    "bash": BashInput,
    "read": ReadInput,
    "write": WriteInput,
    "edit": EditInput,
    "glob": GlobInput,
    "grep": GrepInput,
    "web_fetch": WebFetchInput,
    "web_search": WebSearchInput,
}


_SHOWN = ("type", "items", "minLength", "maxLength")


def definition(name: str) -> JsonObject:
    """One tool as the model sees it; the caller may change what it gets."""
    return copy.deepcopy(_definition(name))


@cache
def _definition(name: str) -> JsonObject:
    model = INPUTS[name]
    return {
        "name": name,
        "description": " ".join((model.__doc__ or "").split()),
        "input_schema": {
            "type": "object",
            "properties": {key: _plain(schema) for key, schema in _properties(model).items()},
            "required": [key for key, field in model.model_fields.items() if field.is_required()],
            "additionalProperties": False,
        },
    }


def _properties(model: type[_Input]) -> dict[str, JsonObject]:
    properties = model.model_json_schema()["properties"]
    assert isinstance(properties, dict)
    return properties


def _plain(schema: JsonObject) -> JsonObject:
    """Without what tells a model nothing: titles, and null as a way to leave a field out."""
    choices = schema.get("anyOf")
    typed = choices[0] if isinstance(choices, list) else schema
    assert isinstance(typed, dict)
    plain: JsonObject = {key: typed[key] for key in _SHOWN if key in typed}
    plain["description"] = schema["description"]
    return plain


def check(name: str, given: JsonObject) -> str | None:
    """Why `given` is no input of the tool; None when it is one."""
    model = INPUTS.get(name)
    if model is None:
        return f"There is no tool named {name}."
    try:
        parsed = model.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        return f"{name}: {'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
    if isinstance(parsed, BashInput) and (parsed.timeout_ms or 0) > BASH_TIMEOUT_CAP_MS:
        return f"bash: timeout_ms {parsed.timeout_ms} exceeds the cap of {BASH_TIMEOUT_CAP_MS}"
    return None
