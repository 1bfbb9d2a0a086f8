"""A deployed stack, as an operator with AWS credentials sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]  # publishes no types
    ClientError,
)

from freehold.adapters.aws_answers import FAILURES, code, in_words
from freehold.errors import Unavailable


class StackUnusable(Exception):
    """The message is one line for the person at the terminal. It never holds a key."""


class StackMissing(StackUnusable):
    """There is no stack of that name in this account and Region."""


@contextmanager
def in_one_line(name: str) -> Iterator[None]:
    """For calls of other adapters on what the stack `name` made. Raises StackUnusable."""
    try:
        yield
    except FAILURES as error:
        raise StackUnusable(f"{name}: {in_words(error)}") from None
    except Unavailable as error:
        raise StackUnusable(f"{name}: {error.message}") from None


class AwsStack:
    """One CloudFormation stack by name. `clients` makes a boto3 client for a service's name."""

    def __init__(self, name: str, clients: Callable[[str], Any]) -> None:
        self.name = name
        self._clients = clients

    def output(self, name: str) -> str:
        """Raises StackUnusable when there is no such stack or it has no such output."""
        found = self.outputs().get(name)
        if found is None:
            raise StackUnusable(f"stack {self.name} has no output {name}: is it one of Freehold's?")
        return found

    def outputs(self) -> Mapping[str, str]:
        """By name. Raises StackMissing, StackUnusable."""
        found = self._describe().get("Outputs", ())
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def status(self) -> str:
        """In CloudFormation's words, such as `UPDATE_COMPLETE`. Raises StackMissing,
        StackUnusable.
        """
        status: str = self._describe()["StackStatus"]
        return status

    def template(self) -> Mapping[str, Any]:
        """As it is deployed. Raises StackMissing, StackUnusable."""
        answer = self._call(
            "cloudformation", lambda client: client.get_template(StackName=self.name)
        )
        template: Mapping[str, Any] = answer["TemplateBody"]
        return template

    def store_secret(self, secret_arn: str, value: str) -> None:
        """Makes `value` the secret's current one. Raises StackUnusable."""
        self._call(
            "secretsmanager",
            lambda client: client.put_secret_value(SecretId=secret_arn, SecretString=value),
        )

    def _describe(self) -> Mapping[str, Any]:
        answer = self._call(
            "cloudformation", lambda client: client.describe_stacks(StackName=self.name)
        )
        stack: Mapping[str, Any] = answer["Stacks"][0]
        return stack

    def _call(self, service: str, call: Callable[[Any], Any]) -> Any:
        region = ""
        try:
            client = self._clients(service)
            region = f" in {client.meta.region_name}"
            return call(client)
        except ClientError as error:
            is_missing = code(error) == "ValidationError" and "does not exist" in str(error)
            kind = StackMissing if is_missing else StackUnusable
            raise kind(f"{self.name}{region}: {in_words(error)}") from None
        except FAILURES as error:
            raise StackUnusable(f"{self.name}{region}: {in_words(error)}") from None
