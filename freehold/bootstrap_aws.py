"""Builds an `App` on Lambda: ports on DynamoDB, S3, KMS and Step Functions."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from freehold.adapters.aws_clients import LateClient, client, connections_client
from freehold.adapters.dynamodb import DynamoRecords
from freehold.adapters.gateway_connections import GatewayConnections
from freehold.adapters.keyed_model import KeyedModel
from freehold.adapters.kms_secrets import KmsSecrets
from freehold.adapters.late_web import LateWeb
from freehold.adapters.no_sandbox import NoSandbox
from freehold.adapters.s3_blobs import S3Blobs
from freehold.adapters.step_functions import StepFunctionsRuns
from freehold.adapters.stored_key import StoredKey
from freehold.adapters.table_feed import RING_SECONDS, TableFeed
from freehold.errors import ModelError
from freehold.event_log import EventLog
from freehold.ids import now
from freehold.ports import App, Connections, Model, Records, Runs, Web
from freehold.settings_aws import (
    FunctionEnvironment,
    LiveEnvironment,
    SessionsEnvironment,
    StoreEnvironment,
    TurnEnvironment,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from freehold.facts import Observe
    from freehold.ports import Blobs, Sandboxes, Secrets

_log = logging.getLogger("freehold.model")


def aws(
    environment: StoreEnvironment,
    *,
    sandboxes: Sandboxes | None = None,
    observe: Observe | None = None,
) -> App:
    """Sends nothing yet. `sandboxes` replaces those of the environment.

    Only an environment of `run_turn` has a model; with another, asking one is a defect.
    """
    table = records(environment.table_name)
    blobs = S3Blobs(LateClient("s3"), environment.bucket_name)
    secrets = KmsSecrets(LateClient("kms"), environment.key_arn, table)
    model = _model(environment)
    return App(
        settings=environment.settings(),
        records=table,
        blobs=blobs,
        secrets=secrets,
        log=EventLog(table, blobs, secrets),
        model=model,
        sandboxes=sandboxes or _sandboxes(environment, table, blobs, secrets),
        runs=runs(environment),
        feed=TableFeed(table, now, ring_seconds=_ring_seconds(environment)),
        clock=now,
        web=_web(environment, model),
        observe=observe,
    )


def records(table_name: str) -> Records:
    """The store alone, for who needs no more of it."""
    return DynamoRecords(client("dynamodb"), table_name)


def runs(environment: FunctionEnvironment) -> Runs:
    """The state machine alone, for `wake`."""
    return StepFunctionsRuns(client("stepfunctions"), environment.state_machine_arn)


def connections(url: str) -> Connections:
    """The WebSockets of the API behind `url`."""
    return GatewayConnections(connections_client(url))


def _sandboxes(
    environment: StoreEnvironment, table: Records, blobs: Blobs, secrets: Secrets
) -> Sandboxes:
    if isinstance(environment, SessionsEnvironment) and environment.sandbox_cluster_arn:
        from freehold.bootstrap_fargate import sandboxes  # noqa: PLC0415 - where there are any
        from freehold.engine.environment import (  # noqa: PLC0415 - as above
            sandbox_network,
            sandbox_packages,
        )

        network_of = partial(sandbox_network, table, blobs)
        packages_of = partial(sandbox_packages, table, blobs)
        return sandboxes(environment, table, secrets, network_of, packages_of)
    return NoSandbox()


def warm_up(app: App) -> None:
    """Does while the function starts, at full speed and before anybody waits, what the first
    request of a model would wait seconds for.
    """
    from freehold.adapters.claude import ClaudeModel  # noqa: PLC0415 - `run_turn` alone pays

    try:
        model = app.model.current() if isinstance(app.model, KeyedModel) else app.model
        if isinstance(model, ClaudeModel):
            model.warm_up()
    except ModelError as error:
        # No key yet, or it cannot be read now: the first request says so to whoever makes it.
        _log.warning("model_not_ready", extra={"error": error.message})


def _web(environment: StoreEnvironment, model: Model) -> Web:
    """Where the Claude API is the model, it searches as well."""
    searches = isinstance(environment, TurnEnvironment) and environment.settings().model_searches

    def build() -> Web:
        from freehold.adapters.web import PublicWeb  # noqa: PLC0415 - `run_tools` alone pays

        return PublicWeb(pages_at_a_time=1, search_model=model if searches else None)

    return LateWeb(("web_fetch", "web_search") if searches else ("web_fetch",), build)


def _ring_seconds(environment: StoreEnvironment) -> float | None:
    """A stream waits for commits; a turn also for what is written beside the feed: interrupts of
    the session, claims.
    """
    return None if isinstance(environment, LiveEnvironment) else RING_SECONDS


def survive_snapshots(app: App, environment: Mapping[str, str]) -> None:
    """Has Lambda do what a snapshot of this process needs, if it starts from one (SnapStart).

    Many processes are made of one snapshot, hours later: they must not share connections, a key
    that has been replaced, or the pauses by which they keep out of each other's way. Ids need
    nothing: they are the operating system's randomness on every call.
    """
    if environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    from snapshot_restore_py import (  # type: ignore[import-not-found]  # noqa: PLC0415 - of Lambda's runtime
        register_after_restore,
        register_before_snapshot,
    )

    register_before_snapshot(_let_go, app)
    register_after_restore(random.seed)


def _let_go(app: App) -> None:
    """Keeps what is imported and forgets what is open."""
    for part in (app.records, app.blobs, app.secrets, app.runs, app.model):
        end = getattr(part, "close", None)
        if end is not None:
            end()


def _model(environment: StoreEnvironment) -> Model:
    if not isinstance(environment, TurnEnvironment):
        return KeyedModel(lambda: None, _no_model)
    if environment.model == "scripted":
        from freehold.testing.scripted_model import (  # noqa: PLC0415 - one function, if it says so
            ScriptedModel,
        )

        return ScriptedModel(environment.settings().context_window)
    from freehold.adapters.claude import (  # noqa: PLC0415 - `run_turn` alone pays
        ClaudeModel,
        endpoint_of,
    )

    settings = environment.settings()
    if environment.model_key_secret_arn is None:
        return ClaudeModel(endpoint_of(settings, None))
    stored = StoredKey(LateClient("secretsmanager"), environment.model_key_secret_arn)

    def connect(key: SecretStr | None) -> Model:
        """An endpoint of one's own may need no key."""
        if key is None and settings.anthropic_base_url is None:
            raise ModelError(
                "model_request_failed",
                "No model key is stored. Run `freehold model-key set --stack NAME`.",
                retryable=False,
            )
        return ClaudeModel(endpoint_of(settings, key))

    return KeyedModel(stored.read, connect, stored.forget)


def _no_model(_: SecretStr | None) -> Model:
    raise ModelError("model_request_failed", "This function asks no model.", retryable=False)
