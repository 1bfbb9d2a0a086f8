"""The key that pays for model requests, in Secrets Manager."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]  # publishes no types
    BotoCoreError,
    ClientError,
)
from pydantic import SecretStr

from freehold.errors import ModelError

KEPT_SECONDS = 300.0
"""How long a replaced key may still be used. One that is missing is looked for each time."""


class StoredKey:
    """Reads the secret when it is asked for and keeps it a while; thread-safe."""

    def __init__(
        self, client: Any, secret_arn: str, clock: Callable[[], float] = time.time
    ) -> None:
        """`client` is boto3's of Secrets Manager. `clock` is the wall's: any other one stands still
        in a snapshot, and a key that was replaced since would be kept.
        """
        self._client = client
        self._secret_arn = secret_arn
        self._clock = clock
        self._kept: SecretStr | None = None
        self._kept_until = 0.0
        self._lock = Lock()

    def read(self) -> SecretStr | None:
        """None while nothing is stored. Raises ModelError when the secret cannot be read now."""
        with self._lock:
            now = self._clock()
            if self._kept is None or now >= self._kept_until:
                self._kept = self._fetch()
                self._kept_until = now + KEPT_SECONDS
            return self._kept

    def forget(self) -> None:
        """The next `read` asks again, on a new connection."""
        with self._lock:
            self._kept = None
        self._client.close()

    def _fetch(self) -> SecretStr | None:
        try:
            answer = self._client.get_secret_value(SecretId=self._secret_arn)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None  # a secret without a value answers so as well
            raise _unreadable(retryable=_is_passing(error)) from error
        except BotoCoreError as error:
            raise _unreadable(retryable=True) from error
        text: str = answer["SecretString"]
        return SecretStr(text) if text else None


def _is_passing(error: ClientError) -> bool:
    """Their trouble or too many requests, not a permission that is missing."""
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status >= 500 or error.response["Error"]["Code"] == "ThrottlingException"  # noqa: PLR2004 - HTTP


def _unreadable(*, retryable: bool) -> ModelError:
    return ModelError(
        "model_request_failed", "The stored model key cannot be read.", retryable=retryable
    )
