"""Content blocks and where their bytes come from (BEHAVIOUR 5.7)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel


class TextBlock(WireModel):
    """Plain text."""

    type: Literal["text"] = "text"
    text: str


class RedactedBlock(WireModel):
    """Content the client may know of but not see. Never sent by a client."""

    type: Literal["redacted"] = "redacted"


class Base64ImageSource(WireModel):
    """An image in the event itself."""

    type: Literal["base64"] = "base64"
    media_type: str
    data: str


class URLImageSource(WireModel):
    """An image the model's provider fetches."""

    type: Literal["url"] = "url"
    url: str


class FileImageSource(WireModel):
    """An image of the Files API."""

    type: Literal["file"] = "file"
    file_id: str


class Base64DocumentSource(WireModel):
    """A document in the event itself."""

    type: Literal["base64"] = "base64"
    media_type: str
    data: str


class PlainTextDocumentSource(WireModel):
    """A text document in the event itself."""

    type: Literal["text"] = "text"
    media_type: Literal["text/plain"]
    data: str


class URLDocumentSource(WireModel):
    """A document the model's provider fetches."""

    type: Literal["url"] = "url"
    url: str


class FileDocumentSource(WireModel):
    """A document of the Files API."""

    type: Literal["file"] = "file"
    file_id: str


ImageSource = Annotated[
    Base64ImageSource | URLImageSource | FileImageSource, Field(discriminator="type")
]
DocumentSource = Annotated[
    Base64DocumentSource | PlainTextDocumentSource | URLDocumentSource | FileDocumentSource,
    Field(discriminator="type"),
]


class ImageBlock(WireModel):
    """An image."""

    type: Literal["image"] = "image"
    source: ImageSource


class DocumentBlock(WireModel):
    """A document, with a title and context for the model."""

    type: Literal["document"] = "document"
    source: DocumentSource
    title: Omittable[str] = None
    context: Omittable[str] = None


class SearchResultCitations(WireModel):
    """Whether the model may cite the result."""

    enabled: bool


class SearchResultContent(WireModel):
    """A passage of a search result."""

    type: Literal["text"]
    text: str


class SearchResultBlock(WireModel):
    """One search result; only tool results carry it."""

    type: Literal["search_result"] = "search_result"
    source: str
    title: str
    content: list[SearchResultContent]
    citations: SearchResultCitations


UserContent = Annotated[
    TextBlock | ImageBlock | DocumentBlock | RedactedBlock, Field(discriminator="type")
]
AgentContent = Annotated[TextBlock | RedactedBlock, Field(discriminator="type")]
ResultContent = Annotated[
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock, Field(discriminator="type")
]
