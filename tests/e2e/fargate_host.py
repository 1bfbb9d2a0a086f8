"""Stands for ECS and EFS behind the emulated account: tasks are child processes of the test."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager

from tests.fargate_account import Account, Refused
from tests.loopback import LoopbackServer, QuietHandler


@contextmanager
def fargate_host(directory, port):
    """The account, and the port on 127.0.0.1 where functions ask it."""
    account = Account(directory, port=port)

    class Handler(QuietHandler):
        def serve(self, body):
            asked = json.loads(body)
            try:
                answer = {"answer": account.answer(asked["operation"], asked["asked"])}
            except Refused as refused:
                answer = {"refused": [refused.code, refused.status, refused.fields]}
            self.answer_json(answer)

    with closing(account), LoopbackServer(Handler) as server:
        yield account, server.server_port
