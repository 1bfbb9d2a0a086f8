"""Installed packages as objects of the sandboxes' bucket: `packages/{key}`."""

from __future__ import annotations

from typing import Any, BinaryIO

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code

_PREFIX = "packages/"
_DIGEST = "digest"
_ABSENT = {"404", "NoSuchKey"}


class PackageArchives:
    """Every method raises Unavailable when S3 does not answer in time."""

    def __init__(self, client: Any, bucket: str) -> None:
        """`client` is boto3's for S3. Sends nothing yet."""
        self._client = client
        self._bucket = bucket

    def find(self, key: str) -> tuple[str, int] | None:
        """The digest that it was stored with and its size in bytes; None where it is not there."""
        try:
            with answered("S3"):
                found = self._client.head_object(Bucket=self._bucket, Key=_PREFIX + key)
        except ClientError as error:
            if code(error) in _ABSENT:
                return None
            raise
        return found["Metadata"].get(_DIGEST, ""), found["ContentLength"]

    def write(self, key: str, content: BinaryIO, digest: str) -> None:
        """All that can be read from `content`, in place of what was there. What it raises ends the
        upload, and what was there stays.
        """
        with answered("S3"):
            self._client.upload_fileobj(
                content, self._bucket, _PREFIX + key, ExtraArgs={"Metadata": {_DIGEST: digest}}
            )

    def read(self, key: str) -> BinaryIO:
        """The content as it arrives. Raises KeyError."""
        try:
            with answered("S3"):
                found = self._client.get_object(Bucket=self._bucket, Key=_PREFIX + key)
        except ClientError as error:
            if code(error) in _ABSENT:
                raise KeyError(key) from None
            raise
        body: BinaryIO = found["Body"]
        return body
