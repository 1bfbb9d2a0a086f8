"""What runs sessions: the state machine, its functions, and what wakes and revives them."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from freehold.adapters.dynamodb import schema
from freehold.settings_aws import FunctionEnvironment, SessionsEnvironment, TurnEnvironment
from infra.acknowledged import acknowledge
from infra.context import ROOT, Context
from infra.data import Data
from infra.function import Function, Limits, log_group
from infra.packaging import package
from infra.permissions import Permissions, state_machine_arn
from infra.provider import Provider
from infra.sandboxes import Sandboxes

DEFINITION = ROOT / "statemachines" / "session.asl.json"
LIMITS = {
    "run_turn": Limits(seconds=900, megabytes=512),
    "run_tools": Limits(seconds=900, megabytes=576),
    "reaper": Limits(seconds=115, megabytes=256),
    "wake": Limits(seconds=60, megabytes=256),
}
"""`run_tools` reads web pages one at a time, in 384 MB of their own (`adapters/web/readable.py`).
It waits for tools, and `run_turn` for the model, nearly all the time that they are paid for. A
task's `TimeoutSeconds` exceeds its function's, or the state machine would give up an invocation
that still writes (tests/infra/test_engine.py).
"""

SLOW_TO_START = ("run_turn",)
"""The SDK takes seconds to import, more of them at this memory, and ten are all that a start may
take. The others start faster than a snapshot is restored.
"""

UNTRACED = ("wake",)
"""It is called at nearly every commit and mostly finds the run started: its traces would cost more
than all else that it does, and say less than its metric.
"""

BUSY_HEADS = {
    "eventName": lambda_.FilterRule.or_("INSERT", "MODIFY"),
    "dynamodb": {"NewImage": {schema.DUE_SORT_KEY: {"S": lambda_.FilterRule.begins_with("busy/")}}},
}
"""Heads that are in the index of threads which should be running."""


class Engine(Stack):
    """Runs sessions."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        context: Context,
        data: Data,
        sandboxes: Sandboxes | None = None,
        **stack: Any,
    ) -> None:
        """`sandboxes` None refuses every call of a tool."""
        super().__init__(scope, id_, **stack)
        self._sandboxes = sandboxes
        name = f"{self.stack_name}-Session"
        self.state_machine_arn = state_machine_arn(self, name)
        self._context = context
        self._data = data
        self._package = package(self, context)
        self._permissions = Permissions(data, self.state_machine_arn)
        run_turn, run_tools = self._run_turn(), self._run_tools()
        self.reaper, self.wake = self._reaper(), self._wake()
        self.functions = (run_turn, run_tools, self.reaper, self.wake)
        self.state_machine = self._state_machine(name, [run_turn, run_tools, self.reaper])
        self._sweep_every_minute(self.reaper)
        self._release_failed_executions(self.reaper, self.state_machine)

    # ------------------------------------------------------------ functions
    def _function(self, folder: str, environment: FunctionEnvironment) -> Function:
        function = Function(
            self,
            folder=folder,
            environment=environment,
            limits=LIMITS[folder],
            package=self._package,
            context=self._context,
            snap_start=self._context.snap_start and folder in SLOW_TO_START,
            traced=folder not in UNTRACED,
        )
        self._permissions.start_runs(function)
        return function

    def _store(self) -> dict[str, str | None]:
        return {
            "state_machine_arn": self.state_machine_arn,
            "table_name": self._data.table.table_name,
            "bucket_name": self._data.bucket.bucket_name,
            "key_arn": self._data.key.key_arn,
            **self._context.spending(),
        }

    def _session(self) -> dict[str, Any]:
        """What a function is told besides that has to do with sandboxes."""
        return {**self._store(), **(self._sandboxes.variables if self._sandboxes else {})}

    def _run_turn(self) -> Function:
        function = self._function("run_turn", self._turn_environment())
        self._permissions.use_store(function)
        self._provider.permit(function)
        if self._sandboxes:
            self._sandboxes.permissions.use(function)
        return function

    def _run_tools(self) -> Function:
        """Asks the provider of the model to search, where that can."""
        function = self._function("run_tools", self._turn_environment())
        self._permissions.use_store(function)
        if self._provider.searches:
            self._provider.permit(function)
        if self._sandboxes:
            self._sandboxes.permissions.use(function)
        return function

    @property
    def _provider(self) -> Provider:
        return Provider(self._context, self._data, self.region)

    def _turn_environment(self) -> TurnEnvironment:
        context = self._context
        return TurnEnvironment.model_validate(
            {
                **self._session(),
                "model": context.model,
                "context_window": context.context_window or None,
                "compact_at": context.compact_at,
                "clear_tool_results": context.clear_tool_results or None,
                **self._provider.environment(),
            }
        )

    def _reaper(self) -> Function:
        function = self._function("reaper", SessionsEnvironment(**self._session()))
        self._permissions.use_store(function)
        self._permissions.find_due(function)
        self._permissions.delete_blobs(function)
        return function

    def _wake(self) -> Function:
        """Sees the heads of threads that should run and nothing else of the stream. What it fails
        at for five minutes the sweep has started by then.
        """
        function = self._function(
            "wake", FunctionEnvironment(state_machine_arn=self.state_machine_arn)
        )
        function.live.add_event_source(
            sources.DynamoEventSource(
                self._data.table,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=100,
                bisect_batch_on_error=True,
                report_batch_item_failures=True,
                retry_attempts=5,
                max_record_age=Duration.minutes(5),
                filters=[lambda_.FilterCriteria.filter(BUSY_HEADS)],
            )
        )
        return function

    # ------------------------------------------------------------ the state machine
    def _state_machine(self, name: str, functions: list[Function]) -> sfn.StateMachine:
        """As the file has it; each placeholder is the ARN of the function it names."""
        role = iam.Role(
            self, "SessionRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com")
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"],
                resources=[function.live.function_arn for function in functions],
            )
        )
        machine = sfn.StateMachine(
            self,
            "Session",
            state_machine_name=name,
            role=role,
            definition_body=sfn.DefinitionBody.from_string(DEFINITION.read_text()),
            definition_substitutions={
                f"{function.node.id}FunctionArn": function.live.function_arn
                for function in functions
            },
            logs=sfn.LogOptions(
                destination=log_group(self, self._context),
                level=sfn.LogLevel.ERROR,
                include_execution_data=False,
            ),
            tracing_enabled=True,
        )
        acknowledge(
            role,
            "IAM5[Resource::*]",
            "The delivery of logs and xray:PutTraceSegments know no resources.",
        )
        acknowledge(
            machine,
            "SF1",
            "The session's own log says what each state did. All transitions would be fourteen"
            " lines a turn, and most of what an idle-free hour costs.",
        )
        return machine

    # ------------------------------------------------------------ nothing stays asleep
    def _sweep_every_minute(self, reaper: Function) -> None:
        """A sweep that fails is made up for by the next one."""
        events.Rule(
            self,
            "EveryMinute",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.LambdaFunction(reaper.live, retry_attempts=0)],
        )

    def _release_failed_executions(self, reaper: Function, machine: sfn.StateMachine) -> None:
        """Whatever ended an execution, its thread goes on without waiting for a lease to lapse."""
        events.Rule(
            self,
            "ExecutionFailed",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                    "stateMachineArn": [machine.state_machine_arn],
                },
            ),
            targets=[
                targets.LambdaFunction(
                    reaper.live, retry_attempts=5, max_event_age=Duration.minutes(10)
                )
            ],
        )
