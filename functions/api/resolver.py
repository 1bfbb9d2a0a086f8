"""From an API Gateway event to an operation, and from whatever that raises to one error shape."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from freehold.errors import ApiError, InvalidRequest, NotFound, RequestTooLarge
from freehold.ids import new_id
from freehold.ports import App
from freehold.services.idempotency import Once, Repeated
from freehold.services.keys import Caller
from freehold.services.rate_limits import Allowance, count_request
from freehold.wire.parsing import parse_body
from functions.admission import admit, headers_of, query_of
from functions.api.operation import Operation, Request
from functions.api.routes import OPERATIONS, unserved
from functions.cors import cors_headers, preflight_headers
from functions.envelope import InternalError, MethodNotAllowed, answer_headers, error_body

_log = logging.getLogger("freehold.api")
_JSON = "application/json"


class Resolver(APIGatewayRestResolver):
    """Serves one request at a time; a process that serves more has one for each thread."""

    def __init__(self, app: App) -> None:
        super().__init__(debug=False)
        self._app = app
        self._event = APIGatewayProxyEvent({})
        self._request_id = ""
        self._caller: Caller | None = None
        self._allowance: Allowance | None = None
        for operation in OPERATIONS:
            self.route(operation.path, method=operation.method)(self._serving(operation))
        self.route("/openapi.json", method="GET")(self._describe)
        self.not_found(self._no_route)
        self.exception_handler(ApiError)(self._refuse)
        self.exception_handler(Exception)(self._crash)

    @property
    def current_event(self) -> APIGatewayProxyEvent:  # type: ignore[override]  # was an attribute
        """The event of this resolver. Powertools keeps it on the class, where threads would swap
        theirs.
        """
        return self._event

    def resolve(self, event: Any, context: Any) -> dict[str, Any]:
        """Answers an API Gateway REST proxy event. Never raises for anything in the request."""
        self._event = APIGatewayProxyEvent(event)
        self._request_id = new_id("req")
        self._caller = None
        self._allowance = None
        answer = super().resolve(event, context)
        shared = cors_headers(self._app.settings.cors_origins, headers_of(self._event))
        answer["multiValueHeaders"].update({name: [value] for name, value in shared.items()})
        return answer

    def _serving(self, operation: Operation) -> Callable[..., Response[str]]:
        def serve(**ids: str) -> Response[str]:
            return self._perform(operation, ids)

        return serve

    # ------------------------------------------------------------ one request
    def _perform(self, operation: Operation, ids: Mapping[str, str]) -> Response[str]:
        app, headers = self._app, headers_of(self._event)
        self._caller = caller = admit(app, headers)
        if operation.counts_as is not None:
            self._allowance = count_request(app, caller, operation.counts_as)
            if self._allowance is not None:
                self._allowance.check(app.clock())
        query = operation.query.from_query(query_of(self._event))
        raw = self._body()
        body = parse_body(operation.body, raw)
        once = self._once(operation, ids, raw, headers.get("idempotency-key"))
        try:
            answer = operation.run(app, Request(caller, ids, query, body, once))
        except Repeated as earlier:
            return Response(200, _JSON, earlier.body.decode(), self._headers())
        return Response(200, _JSON, answer.model_dump_json(), self._headers())

    def _once(
        self, operation: Operation, ids: Mapping[str, str], raw: bytes, key: str | None
    ) -> Once | None:
        """Raises InvalidRequest for a key that cannot be one, or that would not be heeded."""
        if key is None or self._caller is None:
            return None
        if not operation.is_repeatable:
            raise InvalidRequest(
                "`Idempotency-Key` is for creates and sends; this operation does not take it."
            )
        named = json.dumps([operation.method, operation.path, dict(ids)]).encode()
        return Once(self._app, self._caller, key, named + raw)

    def _body(self) -> bytes:
        """The raw body. Raises RequestTooLarge, InvalidRequest for broken base64."""
        text: str = self._event.get("body") or ""
        try:
            body = base64.b64decode(text, validate=True) if self._is_base64 else text.encode()
        except (binascii.Error, UnicodeEncodeError):
            raise InvalidRequest("Failed to parse request body: broken encoding.") from None
        limit = self._app.settings.max_body_bytes
        if len(body) > limit:
            raise RequestTooLarge(f"Request body exceeds the limit of {limit} bytes.")
        return body

    @property
    def _is_base64(self) -> bool:
        return self._event.get("isBase64Encoded") is True

    def _describe(self) -> Response[str]:
        """For anybody, as the path of every operation is."""
        from functions.api.openapi import openapi_json  # noqa: PLC0415 - no other request pays

        return Response(200, _JSON, openapi_json(), self._headers())

    # ------------------------------------------------------------ refusals
    def _no_route(self, _: NotFoundError) -> Response[str]:
        event = self._event
        origins = self._app.settings.cors_origins
        told = preflight_headers(origins, event.http_method, headers_of(event))
        if told is not None:
            return Response(204, None, "", {**self._headers(), **told})
        path = event.path.rstrip("/")
        methods = {o.method for o in OPERATIONS if o.path == path or self._fits(o, path)}
        if methods and event.http_method not in methods:
            refusal = self._refuse(MethodNotAllowed(f"Method {event.http_method} not allowed."))
            refusal.headers["allow"] = ", ".join(sorted(methods))
            return refusal
        return self._refuse(NotFound(unserved(path), should_retry=False))

    def _fits(self, operation: Operation, path: str) -> bool:
        """Whether the path is one of the operation's, ids filled in."""
        want, have = operation.path.split("/"), path.split("/")
        return len(want) == len(have) and all(
            w == h or (w.startswith("<") and bool(h)) for w, h in zip(want, have, strict=True)
        )

    def _refuse(self, error: ApiError) -> Response[str]:
        body = error_body(error, self._request_id)
        return Response(error.status, _JSON, body, self._headers(error))

    def _crash(self, error: Exception) -> Response[str]:
        """A defect of ours: everything to the log, nothing to the caller but where to look."""
        fields = {"request_id": self._request_id, "method": self._event.http_method}
        _log.error("request_crashed", extra=fields, exc_info=error)
        return self._refuse(InternalError(self._request_id))

    def _headers(self, error: ApiError | None = None) -> dict[str, str]:
        counted = self._allowance.headers() if self._allowance is not None else {}
        return {**answer_headers(self._request_id, self._caller, error), **counted}
