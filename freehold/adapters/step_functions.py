"""`Runs`: executions of a state machine of Step Functions, of type Standard."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code
from freehold.ports import Run


class StepFunctionsRuns:
    """An execution has the name of its run. Threads share an instance."""

    def __init__(self, client: Any, state_machine_arn: str) -> None:
        """`client` is boto3's for Step Functions. Sends nothing yet."""
        self._client = client
        self._state_machine_arn = state_machine_arn

    def close(self) -> None:
        """Drops idle connections; the next call opens new ones."""
        self._client.close()

    def start(self, run: Run) -> bool:
        """As the port. An execution that is open is answered as if it were started now, if its name
        *and input* are the same; only one that has closed is refused, for 90 days.

        Raises Unavailable when the service is too busy or does not answer: it may be started then.
        """
        try:
            with answered("Step Functions"):
                self._client.start_execution(
                    stateMachineArn=self._state_machine_arn,
                    name=run.name,
                    input=_canonical(run),
                )
        except ClientError as error:
            if code(error) == "ExecutionAlreadyExists":
                return False
            raise
        return True


def _canonical(run: Run) -> str:
    """The ids and nothing else. One text for one run, whoever starts it and with which release of
    this program: with another text an open execution would be refused, and be released as dead.
    """
    return json.dumps(asdict(run), sort_keys=True, separators=(",", ":"))
