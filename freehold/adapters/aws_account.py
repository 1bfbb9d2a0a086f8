"""An AWS account in one Region, as an operator looks at it before a deployment. Nothing here is
charged for or changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]  # publishes no types
    ClientError,
)

from freehold.adapters.aws_answers import FAILURES, code, in_words


class AccountUnusable(Exception):
    """The message is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Lambda's: `limit` invocations at once in the Region, of which `unreserved` are nobody's."""

    limit: int
    unreserved: int


class AwsAccount:
    """`clients` makes a boto3 client for a service's name."""

    def __init__(self, clients: Callable[[str], Any]) -> None:
        self._clients = clients

    def region(self) -> str:
        """Raises AccountUnusable where none is configured."""
        region: str = self._call("cloudformation", lambda client: client.meta.region_name)
        return region

    def identity(self) -> str:
        """The ARN of whoever the credentials are. Raises AccountUnusable."""
        arn: str = self._call("sts", lambda client: client.get_caller_identity()["Arn"])
        return arn

    def bootstrap_version(self, parameter: str) -> int | None:
        """Of the CDK's own stack, by the name of its SSM parameter; None where there is none.

        Raises AccountUnusable.
        """

        def read(client: Any) -> int | None:
            try:
                return int(client.get_parameter(Name=parameter)["Parameter"]["Value"])
            except ClientError as error:
                if code(error) == "ParameterNotFound":
                    return None
                raise

        version: int | None = self._call("ssm", read)
        return version

    def concurrency(self) -> Concurrency:
        """Raises AccountUnusable."""
        found = self._call("lambda", lambda client: client.get_account_settings()["AccountLimit"])
        return Concurrency(found["ConcurrentExecutions"], found["UnreservedConcurrentExecutions"])

    def quotas(self, service: str) -> Mapping[str, float]:
        """Of a service, by their names and by their codes, as they apply to this account. Raises
        AccountUnusable.
        """

        def read(client: Any) -> Mapping[str, float]:
            pages = client.get_paginator("list_service_quotas").paginate(ServiceCode=service)
            quotas = [quota for page in pages for quota in page["Quotas"]]
            named = ("QuotaName", "QuotaCode")
            return {q[key]: q["Value"] for q in quotas for key in named if key in q}

        found: Mapping[str, float] = self._call("service-quotas", read)
        return found

    def _call(self, service: str, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._clients(service))
        except FAILURES as error:
            raise AccountUnusable(in_words(error)) from None
