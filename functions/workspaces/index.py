"""`workspaces` on Lambda."""

from __future__ import annotations

import os
from pathlib import Path

import functions.start
from freehold.bootstrap_fargate import archives
from freehold.settings_aws import TOOLS_UID, WorkspacesEnvironment
from functions.observability import done, no_names, observed
from functions.workspaces.handler import make_handler

_environment = WorkspacesEnvironment.read(os.environ)

handler = observed(
    "workspaces",
    make_handler(Path(_environment.mount_path), archives(_environment), TOOLS_UID),
    names=no_names,
    outcome=done,
    environment=os.environ,
)
functions.start.over()
