"""A deployed stack, as an operator with AWS credentials sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]  # publishes no types
    BotoCoreError,
    ClientError,
)


class StackUnusable(Exception):
    """The message is one line for the person at the terminal. It never holds a key."""


class AwsStack:
    """One CloudFormation stack by name. `clients` makes a boto3 client for a service's name."""

    def __init__(self, name: str, clients: Callable[[str], Any]) -> None:
        self.name = name
        self._clients = clients

    def output(self, name: str) -> str:
        """Raises StackUnusable when there is no such stack or it has no such output."""
        answer = self._call(
            "cloudformation", lambda client: client.describe_stacks(StackName=self.name)
        )
        outputs = answer["Stacks"][0].get("Outputs", ())
        for output in outputs:
            if output["OutputKey"] == name:
                value: str = output["OutputValue"]
                return value
        raise StackUnusable(f"stack {self.name} has no output {name}: is it one of Freehold's?")

    def store_secret(self, secret_arn: str, value: str) -> None:
        """Makes `value` the secret's current one. Raises StackUnusable."""
        self._call(
            "secretsmanager",
            lambda client: client.put_secret_value(SecretId=secret_arn, SecretString=value),
        )

    def _call(self, service: str, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._clients(service))
        except ClientError as error:
            said = error.response["Error"]
            raise StackUnusable(f"{self.name}: {said['Code']}: {said['Message']}") from None
        except BotoCoreError as error:
            raise StackUnusable(f"{self.name}: {error}") from None
