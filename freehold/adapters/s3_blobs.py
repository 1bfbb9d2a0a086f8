"""`Blobs` in a bucket that holds nothing else."""

from __future__ import annotations

import random
import time
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code
from freehold.errors import Unavailable

_ATTEMPTS = 4
_LONGEST_PAUSE = 0.5
_MAX_NAME = 1024
_WRITTEN_BEFORE = "PreconditionFailed"
_WRITTEN_JUST_NOW = "ConditionalRequestConflict"


class NotDeleted(Exception):
    """Objects that were to go are still there; S3 says why."""


class S3Blobs:
    """A blob is an object of its name. Threads share an instance.

    Every method raises Unavailable when S3 does not answer in time; a blob may be written then.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        """`client` is boto3's for S3. Sends nothing yet."""
        self._client = client
        self._bucket = bucket

    def close(self) -> None:
        """Drops idle connections; the next call opens new ones."""
        self._client.close()

    def put(self, name: str, data: bytes) -> None:
        """Raises ValueError when the name holds other bytes, or can be none."""
        _check(name)
        for _ in range(_ATTEMPTS):
            if self._create(name, data):
                return
            try:
                written = self.get(name)
            except KeyError:  # another is writing it just now
                time.sleep(random.uniform(0.0, _LONGEST_PAUSE))  # noqa: S311 - jitter, not a secret
                continue
            if written != data:
                raise ValueError(f"blob {name} was written with other bytes")
            return
        raise Unavailable("S3 is too busy.", retry_after=1)

    def get(self, name: str) -> bytes:
        _check(name)
        try:
            with answered("S3"):
                found = self._client.get_object(Bucket=self._bucket, Key=name)
                data: bytes = found["Body"].read()
        except ClientError as error:
            if code(error) == "NoSuchKey":
                raise KeyError(name) from None
            raise
        return data

    def delete(self, prefix: str) -> None:
        """Raises NotDeleted, and ValueError for an empty prefix, which would be everything."""
        if not prefix:
            raise ValueError("an empty prefix names every blob")
        with answered("S3"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                if found := page.get("Contents"):
                    self._delete_all([{"Key": each["Key"]} for each in found])

    def _create(self, name: str, data: bytes) -> bool:
        """False when there is one already, perhaps by an attempt whose answer was lost."""
        try:
            with answered("S3"):
                self._client.put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if code(error) in {_WRITTEN_BEFORE, _WRITTEN_JUST_NOW}:
                return False
            raise
        return True

    def _delete_all(self, objects: list[dict[str, str]]) -> None:
        """A page of a list, which is at most what one request may delete."""
        answer = self._client.delete_objects(
            Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
        )
        if failed := answer.get("Errors"):
            # Otherwise the content of a deleted session would be taken for gone.
            reason = failed[0].get("Code")
            raise NotDeleted(f"{len(failed)} of {len(objects)} objects are left: {reason}")


def _check(name: str) -> None:
    """The names of the twin, less those with segments that S3's own tools resolve as in a path."""
    segments = name.split("/")
    if len(name.encode()) > _MAX_NAME or not all(segments) or {".", ".."} & set(segments):
        raise ValueError(f"{name!r} cannot name a blob")
