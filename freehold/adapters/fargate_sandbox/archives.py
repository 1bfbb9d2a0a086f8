"""Workspaces that nobody has used for long, as objects of a bucket:
`archives/{workspace}/{session}/{save}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code

PREFIX = "archives/"
_ABSENT = {"404", "NoSuchKey"}


class NotDeleted(Exception):
    """Objects that were to go are still there; S3 says why."""


class Archives:
    """Every method raises Unavailable when S3 does not answer in time."""

    def __init__(self, client: Any, bucket: str) -> None:
        """`client` is boto3's for S3. Sends nothing yet."""
        self._client = client
        self._bucket = bucket

    def has(self, name: str) -> bool:
        """An object is there as a whole or not at all."""
        try:
            with answered("S3"):
                self._client.head_object(Bucket=self._bucket, Key=name)
        except ClientError as error:
            if code(error) in _ABSENT:
                return False
            raise
        return True

    def write(self, name: str, content: BinaryIO) -> None:
        """All that can be read from `content`. What it raises ends the upload, and nothing is
        there.
        """
        with answered("S3"):
            self._client.upload_fileobj(content, self._bucket, name)

    def read(self, name: str) -> BinaryIO:
        """The content as it arrives. Raises KeyError."""
        try:
            with answered("S3"):
                body: BinaryIO = self._client.get_object(Bucket=self._bucket, Key=name)["Body"]
        except ClientError as error:
            if code(error) in _ABSENT:
                raise KeyError(name) from None
            raise
        return body

    def names(self) -> Iterator[str]:
        """Of all."""
        with answered("S3"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=PREFIX):
                for found in page.get("Contents", ()):
                    yield found["Key"]

    def delete(self, prefix: str) -> None:
        """Those whose names begin so. Raises NotDeleted, and ValueError for what is no archive's
        name.
        """
        if not prefix.startswith(PREFIX) or prefix == PREFIX:
            raise ValueError(f"{prefix!r} names no archive")
        with answered("S3"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                objects = [{"Key": found["Key"]} for found in page.get("Contents", ())]
                if objects:
                    self._delete(objects)

    def _delete(self, objects: list[dict[str, str]]) -> None:
        """A page of a list, which is at most what one request may delete."""
        answer = self._client.delete_objects(
            Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
        )
        if failed := answer.get("Errors"):
            raise NotDeleted(f"{len(failed)} of {len(objects)} archives: {failed[0].get('Code')}")
