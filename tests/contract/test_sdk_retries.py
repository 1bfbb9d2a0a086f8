"""What the SDK repeats by itself, and what a repeat makes (BEHAVIOUR 1.2; CLIENTS, Traps first)."""

from __future__ import annotations

import secrets
from dataclasses import replace

import anthropic
import httpx2
import pytest

from freehold.services.keys import create_key
from tests.contract.fuzz_target import open_target

MESSAGE = {"type": "user.message", "content": [{"type": "text", "text": "once"}]}


class Wire(httpx2.BaseTransport):
    """Counts requests, and loses the first answers: a gateway says it had none."""

    def __init__(self, inner, *, lost=0):
        self._inner = inner
        self.lost = lost
        self.seen = []

    def handle_request(self, request):
        self.seen.append((request.method, request.url.path))
        answer = self._inner.handle_request(request)
        if len(self.seen) <= self.lost:
            return httpx2.Response(502, headers={"retry-after-ms": "1"}, json={})
        return answer


@pytest.fixture
def target(tmp_path):
    with open_target(tmp_path) as target:
        yield target


def wired(target, **options):
    """The SDK with its own two retries, and its wire."""
    wire = Wire(target.server.http._transport, **options)
    server = replace(target.server, http=httpx2.Client(transport=wire))
    return server.client(max_retries=2).beta, wire


# ---------------------------------------------------------------- what no repeat helps
def test_what_contradicts_is_asked_once(target):
    """A 409 that says nothing is sent three times."""
    ids = target.ids
    taken = target.server.post("/v1/environments", {"name": secrets.token_hex(8)})["name"]
    target.server.post(f"/v1/agents/{ids['agent_id']}", {"name": "B"})
    for call in (
        lambda beta: beta.agents.update(ids["agent_id"], version=1, name="C"),
        lambda beta: beta.environments.create(name=taken),
        lambda beta: beta.environments.update(ids["environment_id"], name=taken),
        lambda beta: beta.environments.delete(ids["environment_id"]),
    ):
        beta, wire = wired(target)
        with pytest.raises(anthropic.ConflictError) as refused:
            call(beta)
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert refused.value.type == "conflict_error"
        assert len(wire.seen) == 1


def test_a_refusal_is_asked_once(target):
    ids, nothing = target.ids, "sesn_" + "0" * 26
    for error, call in (
        (anthropic.BadRequestError, lambda beta: beta.agents.create(name="", model="m")),
        (anthropic.NotFoundError, lambda beta: beta.sessions.retrieve(nothing)),
        (anthropic.NotFoundError, lambda beta: beta.vaults.list()),
        (
            anthropic.BadRequestError,
            lambda beta: beta.sessions.events.send(ids["session_id"], events=[]),
        ),
    ):
        beta, wire = wired(target)
        with pytest.raises(error):
            call(beta)
        assert len(wire.seen) == 1


# ---------------------------------------------------------------- a lost answer
def calls(ids):
    """Each create and the send, and what it adds to."""
    name = secrets.token_hex(8)
    session = {"agent": ids["agent_id"], "environment_id": ids["environment_id"]}
    return {
        "agent": lambda beta, **more: beta.agents.create(name="A", model="m", **more),
        "environment": lambda beta, **more: beta.environments.create(name=name, **more),
        "session": lambda beta, **more: beta.sessions.create(**session, **more),
        "send": lambda beta, **more: beta.sessions.events.send(
            ids["session_id"], events=[MESSAGE], **more
        ),
    }


def count(target, what):
    beta = target.server.client().beta
    session = target.ids["session_id"]
    made = {
        "agent": beta.agents.list,
        "environment": beta.environments.list,
        "session": beta.sessions.list,
        "send": lambda: beta.sessions.events.list(session, types=["user.message"]),
    }[what]()
    return len({item.id for item in made})


@pytest.mark.parametrize("what", ["agent", "environment", "session", "send"])
@pytest.mark.parametrize("lost", [1, 2])
def test_under_a_key_the_sdk_s_repeats_make_one_and_answer_it(target, what, lost):
    before, key = count(target, what), secrets.token_hex(8)
    beta, wire = wired(target, lost=lost)
    made = calls(target.ids)[what](beta, extra_headers={"Idempotency-Key": key})
    assert len(wire.seen) == lost + 1
    assert count(target, what) == before + 1
    again, _ = wired(target)
    if what != "environment":
        repeated = calls(target.ids)[what](again, extra_headers={"Idempotency-Key": key})
        assert repeated == made
    assert count(target, what) == before + 1


@pytest.mark.parametrize("what", ["agent", "session", "send"])
def test_without_a_key_each_repeat_makes_another(target, what):
    """What the key is for; were it not so, the test above would prove nothing."""
    before = count(target, what)
    beta, _ = wired(target, lost=1)
    calls(target.ids)[what](beta)
    assert count(target, what) == before + 2


def test_without_a_key_the_repeat_of_an_environment_says_the_name_is_taken(target):
    beta, wire = wired(target, lost=1)
    with pytest.raises(anthropic.ConflictError):
        calls(target.ids)["environment"](beta)
    assert len(wire.seen) == 2


# ---------------------------------------------------------------- keys of callers
def test_a_repeat_of_another_workspace_is_its_own(target):
    other = create_key(target.server.app.records, "other")
    key = {"Idempotency-Key": secrets.token_hex(8)}
    mine = target.server.client().beta.agents.create(name="A", model="m", extra_headers=key)
    theirs = target.server.client(api_key=other).beta.agents.create(
        name="A", model="m", extra_headers=key
    )
    assert theirs.id != mine.id
