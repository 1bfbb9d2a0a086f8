"""The two ways to Claude on AWS, as the Messages API double speaks them: every request is signed,
and Bedrock answers in frames of AWS's event stream.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]  # publishes no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # as above
from botocore.credentials import Credentials  # type: ignore[import-untyped]  # as above

from freehold import bedrock_models
from freehold.testing.messages_dialects import ClaudeApi, Refusal, Sent
from freehold.testing.messages_refused import Refused

if TYPE_CHECKING:
    from freehold.toolset import JsonObject

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[\w-]+)/(?P<service>[\w-]+)"
    r"/aws4_request, SignedHeaders=(?P<names>[\w;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_INVOKE = re.compile(r"/model/(?P<model>[^/]+)/invoke-with-response-stream")
_EXCEPTIONS = {
    "api_error": (500, "InternalServerException"),
    "authentication_error": (403, "UnrecognizedClientException"),
    "billing_error": (403, "AccessDeniedException"),
    "invalid_request_error": (400, "ValidationException"),
    "not_found_error": (400, "ValidationException"),
    "overloaded_error": (503, "ServiceUnavailableException"),
    "permission_error": (403, "AccessDeniedException"),
    "rate_limit_error": (429, "ThrottlingException"),
    "timeout_error": (408, "ModelTimeoutException"),
}
_WORDS = {
    "billing_error": "INVALID_PAYMENT_INSTRUMENT: A valid payment instrument must be provided.",
    "not_found_error": "The provided model identifier is invalid.",
}
_NAMES = {identifier: name for name, identifier in bedrock_models.MODELS.items()}
_STRING = 7
"""The type of a header's value in a frame."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signatures are taken, and for what."""

    access_key: str
    secret_key: str
    region: str
    service: str

    def check(self, sent: Sent) -> None:
        """Signs what arrived and compares. Raises Refused."""
        found = _SIGNED.fullmatch(sent.headers.get("authorization", ""))
        if found is None:
            raise Refused(403, "MissingAuthenticationTokenException", "Missing Token")
        place = (found["key"], found["region"], found["service"])
        if place != (self.access_key, self.region, self.service):
            raise Refused(403, "UnrecognizedClientException", "The security token is invalid.")
        names = found["names"].split(";")
        if not {"host", "x-amz-date"} <= set(names):
            raise Refused(403, "IncompleteSignatureException", "host and x-amz-date must be signed")
        if not hmac.compare_digest(self._signature(sent, names), found["signature"]):
            raise Refused(403, "InvalidSignatureException", "The signature does not match.")

    def _signature(self, sent: Sent, names: list[str]) -> str:
        signer = SigV4Auth(Credentials(self.access_key, self.secret_key), self.service, self.region)
        url = f"http://{sent.headers['host']}{sent.target}"
        headers = {name: sent.headers.get(name, "") for name in names}
        request = AWSRequest(sent.method, url, headers=headers, data=sent.body)
        request.context["timestamp"] = sent.headers["x-amz-date"]
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signature: str = signer.signature(text, request)
        return signature


class ClaudePlatform(ClaudeApi):
    """Claude Platform on AWS: the Claude API, signed, for one workspace."""

    def __init__(self, signer: Signer, workspace_id: str) -> None:
        self._signer = signer
        self._workspace_id = workspace_id

    def admit(self, sent: Sent) -> Sent:
        self._signer.check(sent)
        if sent.headers.get("anthropic-workspace-id") != self._workspace_id:
            raise Refused(403, "permission_error", "anthropic-workspace-id: no such workspace")
        return sent


class Bedrock:
    """Amazon Bedrock's `InvokeModelWithResponseStream`."""

    content_type: ClassVar[str] = "application/vnd.amazon.eventstream"

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def admit(self, sent: Sent) -> Sent:
        """What Bedrock does not take of the Claude API is refused, not passed over."""
        self._signer.check(sent)
        found = _INVOKE.fullmatch(sent.path)
        if found is None:
            raise Refused(404, "UnknownOperationException", "")
        given = json.loads(sent.body)
        if given.pop("anthropic_version", None) != "bedrock-2023-05-31":
            raise Refused(400, "invalid_request_error", "anthropic_version: unsupported version")
        if extra := sorted(given.keys() & {"model", "stream", "speed"}):
            text = f"{extra[0]}: Extra inputs are not permitted"
            raise Refused(400, "invalid_request_error", text)
        given |= {"model": _name(unquote(found["model"]), self._signer.region), "stream": True}
        headers = {**sent.headers, "anthropic-version": "2023-06-01"}
        betas = given.pop("anthropic_beta", [])
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        return replace(
            sent, target="/v1/messages", headers=headers, body=json.dumps(given).encode()
        )

    def frame(self, event: JsonObject) -> bytes:
        if event["type"] == "error":
            error = event["error"]
            assert isinstance(error, dict)
            _, exception = _EXCEPTIONS[str(error["type"])]
            name = exception[0].lower() + exception[1:]
            headers = {":exception-type": name, ":message-type": "exception"}
            return _framed(headers, {"message": error["message"]})
        data = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {":event-type": "chunk", ":message-type": "event"}
        return _framed(headers, {"bytes": base64.b64encode(data).decode(), "p": "abcdef"})

    def refusal(self, refused: Refused, request_id: str) -> Refusal:
        """A type that is no error of the Claude API is the name of an exception."""
        status, exception = _EXCEPTIONS.get(refused.type, (refused.status, refused.type))
        headers = {"x-amzn-errortype": f"{exception}:http://internal.amazon.com/coral/"}
        headers["x-amzn-requestid"] = request_id
        message = _WORDS.get(refused.type, refused.message)
        return Refusal(status, {**refused.headers, **headers}, {"message": message})


def _name(identifier: str, region: str) -> str:
    """The Claude API's name of the model behind the profile of this Region's part of the world."""
    geography, _, model = identifier.partition(".")
    known = geography in {bedrock_models.geography(region), "global"} and _NAMES.get(model)
    if not known:
        raise Refused(400, "not_found_error", "")
    return known


def _framed(headers: dict[str, str], payload: JsonObject) -> bytes:
    """One message of `application/vnd.amazon.eventstream`: lengths, headers, JSON, checksums."""
    packed = b"".join(
        struct.pack(f">B{len(name)}sBH", len(name), name.encode(), _STRING, len(value))
        + value.encode()
        for name, value in {**headers, ":content-type": "application/json"}.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(packed) + len(body), len(packed))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + body
    return message + struct.pack(">I", zlib.crc32(message))
