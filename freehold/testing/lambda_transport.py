"""The official SDK against an API function in this process: no socket, no server.

    client = anthropic.Anthropic(
        api_key=key,
        base_url="http://freehold.invalid",
        http_client=anthropic.DefaultHttpxClient(transport=LambdaTransport(make_handler(app))),
    )

Streams are another function and need a server.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx2

from functions.service.proxy_event import proxy_event


class LambdaTransport(httpx2.BaseTransport):
    """Turns each request into an API Gateway proxy event, and the answer into a response."""

    def __init__(self, handler: Callable[[Any, Any], dict[str, Any]]) -> None:
        self._handler = handler

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises InvalidRequest where API Gateway itself would refuse the query string."""
        scope = {
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": request.headers.raw,
            "http_version": "1.1",
        }
        answer = self._handler(proxy_event(scope, request.read()), None)
        body: str = answer["body"] or ""
        return httpx2.Response(
            answer["statusCode"],
            headers=[(n, v) for n, vs in answer["multiValueHeaders"].items() for v in vs],
            content=base64.b64decode(body) if answer["isBase64Encoded"] else body.encode(),
        )
