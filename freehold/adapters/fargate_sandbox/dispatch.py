"""The line to a supervisor: through the function in its network, which no other program reaches.

What is signed here is carried as it is. A body of more than 1 MB travels through a bucket, since
what a function is given and answers may have 6 MB.
"""

from __future__ import annotations

import json
import os
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from freehold.adapters.fargate_sandbox.fleet import Fleet
from freehold.errors import SandboxLost
from freehold.ports import Blobs, Secrets
from freehold.toolset import JsonObject
from freehold.toolset.signed_request import digest, headers_of_digest

INLINE_BYTES = 1024 * 1024
_ATTEMPTS = 5
_LONGEST_PAUSE = 1.0


class DispatchFailed(Exception):
    """The function did not answer, after all attempts. Of the supervisor this says nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One boot of one slot, where it listens."""

    slot_id: str
    boot_id: str
    address: str


@dataclass(frozen=True, slots=True)
class PackageArchive:
    """Installed packages, as an archive. `digest` is its SHA-256 in hexadecimal."""

    digest: str
    size: int


class Dispatch:
    """Threads share an instance."""

    def __init__(
        self,
        functions: Any,
        fleet: Fleet,
        transfers: Blobs,
        secrets: Secrets,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`functions` is boto3's client for Lambda, which repeats nothing by itself: a request is
        signed for once. `transfers` is the bucket.
        """
        self._functions = functions
        self._fleet = fleet
        self._transfers = transfers
        self._secrets = secrets
        self._pause = pause

    def answers(self, line: Line) -> bool:
        """Whether this boot listens there. Raises DispatchFailed."""
        try:
            status, answer = self.get(line, "/healthz")
        except SandboxLost:
            return False
        health = {"session_id": line.slot_id, "boot_id": line.boot_id}
        return status == 200 and answer == health  # noqa: PLR2004 - HTTP

    def post(self, line: Line, path: str, value: JsonObject) -> tuple[int, JsonObject]:
        """Status and answer. The request may arrive more than once: for the supervisor the second
        joins the first. Raises SandboxLost where nobody answers there, DispatchFailed.
        """
        return self._request(line, "POST", path, json.dumps(value).encode())

    def put(self, line: Line, path: str, value: JsonObject) -> tuple[int, JsonObject]:
        """As `post`; the second is the first once more."""
        return self._request(line, "PUT", path, json.dumps(value).encode())

    def delete(self, line: Line, path: str) -> tuple[int, JsonObject]:
        """As `put`."""
        return self._request(line, "DELETE", path, b"")

    def get(self, line: Line, path: str) -> tuple[int, JsonObject]:
        """As `put`."""
        return self._request(line, "GET", path, b"")

    def _request(self, line: Line, method: str, path: str, body: bytes) -> tuple[int, JsonObject]:
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(random.uniform(0.0, _LONGEST_PAUSE))  # noqa: S311 - spreads load
            found = self._invoke(line, method, path, body)
            if found is not None:
                return self._read(found)
        raise DispatchFailed(f"{self._fleet.dispatch} did not answer {_ATTEMPTS} times")

    # ------------------------------------------------------------ installed packages
    def find_packages(self, key: str) -> PackageArchive | None:
        """What is kept under this key; None where nothing is or nobody knows."""
        found = self._ask({"find": key})
        if not found:
            return None
        return PackageArchive(found["digest"], found["size"])

    def keep_packages(self, line: Line, key: str, archive: PackageArchive) -> bool:
        """Takes it from the supervisor. Whether it is kept; as a whole, or what was there is."""
        carried = self._signed(line, "GET", "/packages", digest(b""))
        asked: JsonObject = {"keep": key, "digest": archive.digest, "size": archive.size}
        return (self._ask({**asked, **carried}) or {}).get("kept") is True

    def bring_packages(self, line: Line, key: str, archive: PackageArchive, path: str) -> bool:
        """What is kept, if it is that still. Whether the supervisor took it."""
        carried = self._signed(line, "PUT", path, archive.digest)
        asked: JsonObject = {"bring": key, "size": archive.size}
        return (self._ask({**asked, **carried}) or {}).get("status") == 200  # noqa: PLR2004 - HTTP

    def _signed(self, line: Line, method: str, path: str, body_digest: str) -> JsonObject:
        """Where a request goes, and what lets it pass there now and once."""
        headers = headers_of_digest(
            self._secrets.sign,
            method,
            path,
            body_digest,
            session_id=line.slot_id,
            boot_id=line.boot_id,
        )
        return {"address": line.address, "method": method, "path": path, "headers": {**headers}}

    def _invoke(self, line: Line, method: str, path: str, body: bytes) -> dict[str, Any] | None:
        """What the function answered; None where it failed, whatever became of the request."""
        name = f"transfers/{line.slot_id}/{os.urandom(16).hex()}"
        asked = self._signed(line, method, path, digest(body))
        asked["answer_object"] = f"{name}/answer"
        if len(body) > INLINE_BYTES:
            self._transfers.put(f"{name}/request", body)
            asked["body_object"] = f"{name}/request"
        else:
            asked["body"] = b64encode(body).decode()
        try:
            return self._ask(asked)
        finally:
            if "body_object" in asked:
                self._transfers.delete(f"{name}/request")

    def _ask(self, asked: JsonObject) -> dict[str, Any] | None:
        try:
            answer = self._functions.invoke(
                FunctionName=self._fleet.dispatch, Payload=json.dumps(asked).encode()
            )
            if "FunctionError" in answer:
                return None
            found: dict[str, Any] = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError, ValueError):
            return None
        return found

    def _read(self, found: dict[str, Any]) -> tuple[int, JsonObject]:
        if "unreachable" in found:
            raise SandboxLost("The sandbox stopped answering.")
        if "body_object" in found:
            name: str = found["body_object"]
            body = self._transfers.get(name)
            self._transfers.delete(name)
        else:
            body = b64decode(found["body"])
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise SandboxLost("The sandbox answered something else than an object.")
        return int(found["status"]), answer
