"""Every list through the SDK, against a look at every object (BEHAVIOUR 1.5, 5.5, 6.4)."""

from __future__ import annotations

import random
import secrets
from datetime import datetime, timedelta

import anthropic
import pytest

from tests.contract.fuzz_target import open_target
from tests.servers import server_in_process

SEED = 20261121
BOUNDS = {
    "created_at_gt": lambda at, bound: at > bound,
    "created_at_gte": lambda at, bound: at >= bound,
    "created_at_lt": lambda at, bound: at < bound,
    "created_at_lte": lambda at, bound: at <= bound,
}


def in_bounds(at, query):
    return all(BOUNDS[n](at, bound) for n, bound in query.items() if n in BOUNDS)


def some_bounds(chance, times, names=tuple(BOUNDS)):
    """Up to two ends of a range, at moments that objects have and right beside them."""
    step = timedelta(microseconds=1)
    found = {}
    for name in chance.sample(names, chance.choice((0, 0, 1, 1, 2))):
        found[name] = chance.choice(times) + chance.choice((-step, timedelta(), step))
    return found


def walked(call, query, limits):
    """All pages forward, with a limit of its own each."""
    pages = [call(**query, limit=next(limits))]
    while pages[-1].next_page:
        pages.append(call(**query, limit=next(limits), page=pages[-1].next_page))
    return pages


def limits_of(chance, largest=6):
    while True:
        yield chance.randint(1, largest)


def ids(pages):
    return [item.id for page in pages for item in page.data]


# ---------------------------------------------------------------- sessions
@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """The SDK, and sessions of three versions of two agents: idle, running, archived; some were
    deleted.
    """
    chance = random.Random(SEED)
    with open_target(tmp_path_factory.mktemp("sessions")) as target:
        server = target.server
        agents = [target.ids["agent_id"], server.post("/v1/agents", AGENT)["id"]]
        made = [target.ids["session_id"]]
        for n in range(26):
            if n == 13:
                server.post(f"/v1/agents/{agents[0]}", {"name": "B"})
            body = {"agent": chance.choice(agents), "environment_id": target.ids["environment_id"]}
            if chance.random() < 0.3:
                content = [{"type": "text", "text": "go"}]
                body["initial_events"] = [{"type": "user.message", "content": content}]
            session = server.post("/v1/sessions", body)
            if session["status"] == "idle" and chance.random() < 0.3:
                server.post(f"/v1/sessions/{session['id']}/archive", {})
            elif session["status"] == "idle" and chance.random() < 0.2:
                server.request("DELETE", f"/v1/sessions/{session['id']}")
                continue
            made.append(session["id"])
        client = server.client()
        yield client, agents, [client.beta.sessions.retrieve(session_id) for session_id in made]


AGENT = {"name": "A", "model": "claude-sonnet-5-5"}


def some_session_query(chance, agents, made):
    query = some_bounds(chance, [session.created_at for session in made])
    query["order"] = chance.choice(("asc", "desc"))
    if chance.random() < 0.5:
        query["include_archived"] = chance.random() < 0.8
    if chance.random() < 0.4:
        query["agent_id"] = chance.choice(agents)
        if chance.random() < 0.5:
            query["agent_version"] = chance.choice((1, 2, 3))
    if chance.random() < 0.4:
        every = ("idle", "running", "rescheduling", "terminated")
        query["statuses"] = chance.sample(every, chance.randint(1, 3))
    return query


def session_fits(session, query):
    return (
        in_bounds(session.created_at, query)
        and (query.get("include_archived") or session.archived_at is None)
        and session.agent.id == query.get("agent_id", session.agent.id)
        and session.agent.version == query.get("agent_version", session.agent.version)
        and session.status in query.get("statuses", [session.status])
    )


def test_sessions_are_listed_under_every_filter_forward_and_back(sessions):
    client, agents, made = sessions
    chance, met = random.Random(SEED), set()
    for _ in range(80):
        query = some_session_query(chance, agents, made)
        expected = [session.id for session in made if session_fits(session, query)]
        expected = expected if query["order"] == "asc" else expected[::-1]
        call = client.beta.sessions.list
        assert [s.id for s in call(**query, limit=chance.randint(1, 6))] == expected, query
        pages = walked(call, query, limits_of(chance))
        assert ids(pages) == expected
        assert pages[0].prev_page is None
        back, seen = pages[-1], ids(pages[-1:])
        while back.prev_page:
            back = call(**query, limit=chance.randint(1, 6), page=back.prev_page)
            seen = ids([back]) + seen
        assert seen == expected, query
        met.add((bool(expected), len(pages) > 1, tuple(sorted(query))))
    assert len(met) > 40
    assert {(found, several) for found, several, _ in met} >= {(True, True), (False, False)}


def test_a_session_cursor_is_of_its_order_and_within_the_filter(sessions):
    client, _, made = sessions
    call = client.beta.sessions.list
    for order, name in (("asc", "created_at_gt"), ("desc", "created_at_lt")):
        page = call(order=order, limit=3, include_archived=True)
        last = page.data[-1].created_at
        with pytest.raises(anthropic.BadRequestError, match="another `order`"):
            call(order="desc" if order == "asc" else "asc", page=page.next_page)
        with pytest.raises(anthropic.BadRequestError, match="excludes the position"):
            call(order=order, page=page.next_page, **{name: last})
        inclusive = {f"{name}e": last, "order": order, "include_archived": True}
        rest = [s.id for s in call(**inclusive, page=page.next_page)]
        every = [s.id for s in made]
        assert rest == (every[3:] if order == "asc" else every[:-3][::-1])


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "=", "ä", "x" * 4000])
def test_what_is_no_cursor_is_refused_by_every_list(sessions, cursor):
    client, agents, made = sessions
    beta, session = client.beta, made[0].id
    (thread,) = beta.sessions.threads.list(session)
    for call in (
        lambda: beta.sessions.list(page=cursor),
        lambda: beta.agents.list(page=cursor),
        lambda: beta.agents.versions.list(agents[0], page=cursor),
        lambda: beta.environments.list(page=cursor),
        lambda: beta.sessions.events.list(session, page=cursor),
        lambda: beta.sessions.threads.list(session, page=cursor),
        lambda: beta.sessions.threads.events.list(thread.id, session_id=session, page=cursor),
    ):
        with pytest.raises(anthropic.BadRequestError, match="page"):
            call()


# ---------------------------------------------------------------- agents, environments
def test_agents_are_listed_newest_first_within_bounds_and_without_archived_ones(tmp_path):
    chance = random.Random(SEED)
    with open_target(tmp_path) as target:
        client = target.server.client()
        made = [client.beta.agents.create(**AGENT) for _ in range(11)]
        made.insert(0, client.beta.agents.retrieve(target.ids["agent_id"]))
        for n in (0, 4, 5, 11):
            made[n] = client.beta.agents.archive(made[n].id)
        client.beta.agents.update(made[2].id, name="B")
        for _ in range(40):
            query = some_bounds(
                chance, [a.created_at for a in made], ("created_at_gte", "created_at_lte")
            )
            query["include_archived"] = chance.random() < 0.5
            expected = [
                agent.id
                for agent in reversed(made)
                if in_bounds(agent.created_at, query)
                and (query["include_archived"] or agent.archived_at is None)
            ]
            pages = walked(client.beta.agents.list, query, limits_of(chance))
            assert ids(pages) == expected
            assert "next_page" not in pages[-1].model_fields_set
            assert "prev_page" not in (pages[-1].model_extra or {})


def test_versions_are_listed_newest_first(tmp_path):
    chance = random.Random(SEED)
    with open_target(tmp_path) as target:
        client, agent = target.server.client(), target.ids["agent_id"]
        for n in range(7):
            client.beta.agents.update(agent, name=f"version {n}")
        for _ in range(6):
            call = client.beta.agents.versions.list
            pages = walked(call, {"agent_id": agent}, limits_of(chance))
            found = [version.version for page in pages for version in page.data]
            assert found == [8, 7, 6, 5, 4, 3, 2, 1]


def test_environments_are_listed_newest_first_and_the_last_page_says_null(tmp_path):
    chance = random.Random(SEED)
    with open_target(tmp_path) as target:
        client = target.server.client()
        made = [client.beta.environments.create(name=secrets.token_hex(8)) for _ in range(9)]
        made.insert(0, client.beta.environments.retrieve(target.ids["environment_id"]))
        archived = {client.beta.environments.archive(made[n].id).id for n in (1, 2, 9)}
        for with_archived in (True, False):
            pages = walked(
                client.beta.environments.list,
                {"include_archived": with_archived},
                limits_of(chance),
            )
            shown = [e.id for e in reversed(made) if with_archived or e.id not in archived]
            assert ids(pages) == shown
            assert pages[-1].next_page is None
            assert "next_page" in pages[-1].model_fields_set


# ---------------------------------------------------------------- events
@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """The SDK, a session that has run three turns, and its whole history."""
    with server_in_process(tmp_path_factory.mktemp("events")) as server:
        session = server.new_session()
        for text in ("one", "two", "three"):
            server.say(session, text)
            server.until_idle(session)
        client = server.client()
        yield client, session, list(client.beta.sessions.events.list(session))


def test_events_are_listed_under_every_filter(talk):
    client, session, every = talk
    chance = random.Random(SEED)
    types, times = sorted({e.type for e in every}), [e.processed_at for e in every]
    call = client.beta.sessions.events.list
    for _ in range(60):
        query = some_bounds(chance, times)
        query["order"] = chance.choice(("asc", "desc"))
        if chance.random() < 0.6:
            query["types"] = chance.sample(types, chance.randint(1, 4))
        expected = [
            event.id
            for event in every
            if in_bounds(event.processed_at, query)
            and event.type in query.get("types", [event.type])
        ]
        expected = expected if query["order"] == "asc" else expected[::-1]
        pages = walked(lambda **q: call(session, **q), query, limits_of(chance, 9))
        assert ids(pages) == expected, query
        assert [e.id for e in call(session, **query, limit=chance.randint(1, 9))] == expected


def test_every_type_of_the_sdk_can_be_asked_for(talk):
    from typing import get_args

    from anthropic.types.beta.sessions import beta_managed_agents_session_event_type as module

    known = get_args(module.BetaManagedAgentsSessionEventType)
    names = {name for arm in known for name in (get_args(arm) or (arm,)) if isinstance(name, str)}
    assert len(names) == 41
    client, session, every = talk
    found = list(client.beta.sessions.events.list(session, types=sorted(names)))
    assert [event.id for event in found] == [event.id for event in every]
    for name in ("session.deleted", "event_start", "event_delta", "user.shouts"):
        with pytest.raises(anthropic.BadRequestError, match="types"):
            client.beta.sessions.events.list(session, types=[name])


def test_times_may_be_written_in_any_zone_and_precision(talk):
    client, session, every = talk
    at = every[len(every) // 2].processed_at
    expected = [event.id for event in every if event.processed_at >= at]
    for zone in ("+00:00", "-07:30", "+14:00"):
        offset = datetime.fromisoformat(f"2026-01-01T00:00:00{zone}").tzinfo
        for written in (at.astimezone(offset), at.astimezone(offset).isoformat()):
            found = client.beta.sessions.events.list(session, created_at_gte=written)
            assert [event.id for event in found] == expected
