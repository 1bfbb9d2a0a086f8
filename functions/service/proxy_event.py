"""From an HTTP request to the API Gateway proxy event that the API function takes, and its answer
back.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from freehold.errors import RequestTooLarge
from functions.admission import parse_query


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The body, at most `limit` bytes; None when the client left. Raises RequestTooLarge.

    A body over the limit is read and dropped up to as much again: a client that is still sending
    when the connection closes never sees why it was refused.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
        if not message.get("more_body", False) or size > 2 * limit:
            break
    if size > limit:
        raise RequestTooLarge(f"Request body exceeds the limit of {limit} bytes.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def proxy_event(scope: Scope, body: bytes) -> dict[str, Any]:
    """An event of API Gateway's REST proxy integration. Raises InvalidRequest for a query that
    cannot be parsed.
    """
    query: dict[str, list[str]] = {}
    for name, value in parse_query(scope["query_string"]):
        query.setdefault(name, []).append(value)
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    text, is_base64 = _text(body)
    client = scope.get("client")
    return {
        "resource": "/{proxy+}",
        "path": scope["path"],
        "httpMethod": scope["method"],
        "headers": {name: ", ".join(values) for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": scope["path"].lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "httpMethod": scope["method"],
            "identity": {"sourceIp": client[0] if client else ""},
            "path": scope["path"],
            "protocol": f"HTTP/{scope['http_version']}",
            "resourcePath": "/{proxy+}",
            "stage": "$default",
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


async def send_answer(send: Send, answer: Mapping[str, Any]) -> None:
    """Sends what the function answered."""
    text: str = answer["body"] or ""
    body = base64.b64decode(text) if answer["isBase64Encoded"] else text.encode()
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, values in answer["multiValueHeaders"].items()
        for value in values
    ]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer["statusCode"], "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _text(body: bytes) -> tuple[str | None, bool]:
    """As API Gateway: text where it is text, base64 where it is not."""
    if not body:
        return None, False
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
