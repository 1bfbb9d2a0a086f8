"""What a program may do, in the words of its ports. Nothing is granted that no port does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam

from freehold.adapters.dynamodb import schema
from infra.acknowledged import acknowledge
from infra.data import Data


class Program(Protocol):
    """A function, or what else runs our code under a role of its own."""

    role: iam.Role

    def permit(
        self,
        actions: list[str],
        *resources: str,
        conditions: Mapping[str, object] | None = None,
    ) -> None:
        """Adds to what it may do."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """On the resources of one installation."""

    data: Data
    state_machine_arn: str

    def start_runs(self, program: Program) -> None:
        """`Runs`. Whether an execution of that name is open or has closed, the answer tells."""
        program.permit(["states:StartExecution"], self.state_machine_arn)

    def use_store(self, program: Program) -> None:
        """`Records`, `Blobs` and `Secrets`, but neither the sweep's index nor the purge."""
        self._use_records(program)
        self._use_blobs(program, "s3:GetObject", "s3:PutObject")
        program.permit(["kms:Decrypt", "kms:GenerateDataKey"], self.data.key.key_arn)

    def open_streams(self, program: Program) -> None:
        """What a stream does: it reads, is counted, and says in rows of its own that it listens."""
        table = self.data.table.table_arn
        program.permit(["dynamodb:BatchGetItem", "dynamodb:Query"], table)
        program.permit(
            ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            table,
            # Of `keys.listeners` and `keys.rate_limit`, which begin with a workspace.
            conditions={
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*/listeners/*", "*/limits"]}
            },
        )
        self._use_blobs(program, "s3:GetObject")

    def use_slots(self, program: Program) -> None:
        """The items of slots, and the key that supervisors know this installation by."""
        self._use_records(program)
        self.find_due(program)
        program.permit(["kms:Decrypt", "kms:GenerateDataKey"], self.data.key.key_arn)

    def find_due(self, program: Program) -> None:
        """`Records.due`, which only the sweep asks."""
        index = f"{self.data.table.table_arn}/index/{schema.DUE_INDEX}"
        program.permit(["dynamodb:Query"], index)

    def delete_blobs(self, program: Program) -> None:
        """`Blobs.delete`, which only the purge of a deleted session does."""
        program.permit(["s3:DeleteObject"], self.data.bucket.arn_for_objects("*"))

    def serve_listeners(self, program: Program) -> None:
        """What the fan-out does: it reads, and moves or ends what listens, with what the connection
        knows of it.
        """
        table = self.data.table.table_arn
        program.permit(["dynamodb:BatchGetItem", "dynamodb:Query"], table)
        program.permit(
            ["dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            table,
            conditions={
                "ForAllValues:StringLike": {
                    "dynamodb:LeadingKeys": ["*/listeners/*", "_connections/*"]
                }
            },
        )
        self._use_blobs(program, "s3:GetObject")

    def _use_records(self, program: Program) -> None:
        """A transaction needs the permission of each kind of write in it."""
        actions = [
            *("BatchGetItem", "Query"),
            *("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"),
        ]
        program.permit([f"dynamodb:{name}" for name in actions], self.data.table.table_arn)

    def _use_blobs(self, program: Program, *actions: str) -> None:
        """Who may list is told that an object is absent; others are told that it is forbidden."""
        bucket = self.data.bucket
        program.permit(list(actions), bucket.arn_for_objects("*"))
        program.permit(["s3:ListBucket"], bucket.bucket_arn)
        exported = self.data.resolve(self.data.export_value(bucket.bucket_arn))
        acknowledge(
            program.role,
            f"IAM5[Resource::{exported['Fn::ImportValue']}/*]",
            "The bucket is for blobs alone, and their names begin with the ids of workspaces.",
        )


def state_machine_arn(stack: Stack, name: str) -> str:
    """By name: the state machine names the functions and the functions name the state machine, and
    a reference in both directions is a circle that CloudFormation refuses.
    """
    return stack.format_arn(
        service="states",
        resource="stateMachine",
        resource_name=name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
