"""`api` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_aws import aws
from freehold.settings_aws import ApiEnvironment
from functions.api.handler import make_handler
from functions.observability import names_of_request, observed, outcome_of_request

handler = observed(
    "api",
    make_handler(aws(ApiEnvironment.read(os.environ))),
    names=names_of_request,
    outcome=outcome_of_request,
    environment=os.environ,
)
functions.start.over()
