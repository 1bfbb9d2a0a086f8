"""The complete sequence of events of how a session is configured, spoken to and ended (BEHAVIOUR 5,
7.1, 7.7, 7.11), in process and over HTTP.
"""

from __future__ import annotations

import anthropic
import pytest

from tests.contract.sequences import BEGIN, WORLDS, end, request, scene
from tests.contract.test_sdk import TOOLSET, message, new_agent, script
from tests.images import pdf, png

SENT = ["user.message queued"]
ANSWERED = [*SENT, *BEGIN, *request("agent.message"), *end()]
CALL = {"tool": "bash", "input": {"command": "echo"}}


@pytest.fixture(scope="module", params=WORLDS)
def stage(request, tmp_path_factory):
    with scene(request.param, tmp_path_factory.mktemp("session")) as found:
        yield found


@pytest.fixture
def session(stage):
    return stage.session(tools=[TOOLSET])


def operator(text):
    return {"type": "system.message", "content": [{"type": "text", "text": text}]}


def refused(call, *given, **fields):
    with pytest.raises(anthropic.BadRequestError) as raised:
        call(*given, **fields)
    return raised.value.body["error"]


class Before:
    """Does something right before the model is asked the `nth` time."""

    def __init__(self, stage, act, nth=1):
        self._stage, self._act, self._left = stage, act, nth
        self._inner = stage.model.model
        stage.model.model = self

    def open(self, request):
        self._left -= 1
        if not self._left:
            self._stage.model.model = self._inner
            self._act()
        return self._inner.open(request)


def last_request(stage):
    return stage.model.requests[-1]


def tool_names(request):
    return [tool["name"] for tool in request.tools]


# ---------------------------------------------------------------- what is said
BLOCKS = [
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png()}},
    {"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}},
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": pdf()},
        "title": "Paper",
    },
    {"type": "document", "source": {"type": "url", "url": "https://example.com/x.pdf"}},
    {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        "context": "Notes.",
    },
    {"type": "text", "text": 'script: [{"say": "Seen."}]'},
]


def test_images_and_documents_reach_the_model_as_they_were_sent(stage, session):
    stage.play(session, {"type": "user.message", "content": BLOCKS})
    assert stage.seen(session) == ANSWERED
    sent = last_request(stage).messages[-1]["content"]
    assert [{k: v for k, v in block.items() if k != "cache_control"} for block in sent] == BLOCKS
    (shown,) = stage.client.beta.sessions.events.list(session.id, types=["user.message"]).data
    assert shown.to_dict()["content"] == BLOCKS


def test_messages_queued_while_the_model_works_are_one_further_request(stage, session):
    Before(stage, lambda: [stage.send(session, message(str(n))) for n in range(2)])
    stage.play(session, script({"say": "One."}))
    assert stage.seen(session) == [
        *SENT,
        *BEGIN,
        "user.message queued",
        "user.message queued",
        *request("agent.message"),
        "user.message",
        "user.message",
        "span.model_request_start",
        *request("agent.message"),
        *end(),
    ]


def test_a_session_with_initial_events_is_born_running(stage):
    events = [message("Hello."), script({"say": "Both read."})]
    made = stage.session(initial_events=events)
    assert made.status == "running"
    stage.rested(made)
    assert stage.seen(made) == [
        *SENT,
        "session.status_running",
        "session.thread_status_running",
        *SENT,
        "user.message",
        "user.message",
        "span.model_request_start",
        *request("agent.message"),
        *end(),
    ]


# ---------------------------------------------------------------- system messages
def test_a_system_message_is_taken_in_with_the_message_it_accompanies(stage, session):
    stage.play(session, script({"say": "One."}), operator("Be brief."))
    assert stage.seen(session) == [
        "user.message queued",
        "session.status_running",
        "session.thread_status_running",
        "system.message queued",
        "user.message",
        "system.message",
        "span.model_request_start",
        *request("agent.message"),
        *end(),
    ]
    stage.play(session, script({"say": "Two."}))
    roles = [turn["role"] for turn in last_request(stage).messages]
    assert roles == ["user", "system", "assistant", "user"]


def test_a_system_message_alone_starts_nothing_and_lasts(stage, session):
    (sent,) = stage.send(session, operator("Be brief."))
    assert sent.processed_at is not None
    assert stage.client.beta.sessions.retrieve(session.id).status == "idle"
    stage.play(session, script({"say": "One."}))
    assert stage.seen(session) == ["system.message", *ANSWERED]
    system = last_request(stage).messages[-1]
    assert system == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}


def test_a_system_message_in_mid_turn_waits_for_the_next_request(stage, session):
    Before(stage, lambda: stage.send(session, operator("Be brief.")))
    stage.play(session, script(CALL, {"say": "Done."}))
    assert stage.seen(session) == [
        *SENT,
        *BEGIN,
        "system.message queued",
        *request("agent.tool_use"),
        "agent.tool_result",
        "system.message",
        "span.model_request_start",
        *request("agent.message"),
        *end(),
    ]


def test_a_system_message_during_the_last_reply_is_taken_in_without_another(stage, session):
    Before(stage, lambda: stage.send(session, operator("Be brief.")))
    stage.play(session, script({"say": "One."}))
    assert stage.seen(session) == [
        *SENT,
        *BEGIN,
        "system.message queued",
        *request("agent.message"),
        "system.message",
        *end(),
    ]


def test_a_system_message_for_a_model_that_takes_none_is_refused_and_nothing_stored(stage):
    agent = new_agent(stage.client, model="claude-haiku-4-5").id
    old = stage.session(agent=agent)
    error = refused(
        stage.client.beta.sessions.events.send,
        old.id,
        events=[message("Hello."), operator("Be brief.")],
    )
    code = "model_does_not_support_mid_conversation_system"
    assert error["details"] == {"error_code": code}
    assert stage.client.beta.sessions.events.list(old.id).data == []


# ---------------------------------------------------------------- overrides
def test_an_overridden_agent_is_what_the_session_runs_and_shows(stage):
    agent = new_agent(
        stage.client,
        system="Be brief.",
        model={"id": "claude-opus-5", "effort": "max"},
        tools=[TOOLSET],
    )
    only_bash = {
        **TOOLSET,
        "default_config": {"enabled": False},
        "configs": [{"name": "bash", "enabled": True}],
    }
    given = {
        "type": "agent_with_overrides",
        "id": agent.id,
        "model": {"id": "claude-opus-5"},
        "system": "Be long.",
        "tools": [only_bash],
    }
    made = stage.session(agent=given)
    assert (made.agent.id, made.agent.version) == (agent.id, agent.version)
    assert (made.agent.system, made.agent.model.effort.type) == ("Be long.", "high")
    assert [config.name for config in made.agent.tools[0].configs] == ["bash"]
    stage.play(made, script({"say": "One."}))
    assert stage.seen(made) == ANSWERED
    asked = last_request(stage)
    assert (asked.system[0]["text"], asked.effort) == ("Be long.", "high")
    assert tool_names(asked) == ["bash"]
    assert stage.client.beta.agents.retrieve(agent.id) == agent


def test_a_system_prompt_without_a_word_is_shown_and_not_sent(stage):
    agent = new_agent(stage.client, system="Be brief.")
    blank = {"type": "agent_with_overrides", "id": agent.id, "system": " \n"}
    made = stage.session(agent=blank)
    assert made.agent.system == " \n"
    stage.play(made, script({"say": "One."}))
    assert stage.seen(made) == ANSWERED
    assert last_request(stage).system == ()


def test_an_empty_title_is_none_at_creation_and_later(stage):
    made = stage.session(title="")
    assert made.title is None
    stage.client.beta.sessions.update(made.id, title="")
    assert stage.client.beta.sessions.events.list(made.id).data == []


def test_an_agent_is_overridden_at_the_version_asked_for(stage):
    agent = new_agent(stage.client, system="First.")
    stage.client.beta.agents.update(agent.id, version=1, system="Second.")
    given = {"type": "agent_with_overrides", "id": agent.id, "version": 1, "tools": None}
    made = stage.session(agent=given)
    assert (made.agent.version, made.agent.system, made.agent.tools) == (1, "First.", [])
    cleared = stage.session(agent={**given, "system": None})
    assert cleared.agent.system is None


def test_illegal_overrides_are_refused_with_their_codes(stage):
    agent = new_agent(stage.client)

    def create(**overrides):
        given = {"type": "agent_with_overrides", "id": agent.id, **overrides}
        return refused(stage.client.beta.sessions.create, agent=given, environment_id="env_unread")

    assert create(model=None)["details"] == {"error_code": "agent_model_required"}
    assert "`skills` is not supported" in create(skills=[{"type": "custom"}])["message"]
    assert "`mcp_servers` is not supported" in create(mcp_servers=[{"type": "url"}])["message"]
    assert 'unknown field "agent.name"' in create(name="Other")["message"]
    effort = {"id": "claude-haiku-4-5", "effort": "max"}
    assert "effort max is not supported" in create(model=effort)["message"]


# ---------------------------------------------------------------- updates
def test_an_update_tells_what_changed_and_applies_from_the_next_turn(stage, session):
    update = stage.client.beta.sessions.update
    stage.play(session, script({"say": "One."}))
    assert "bash" in tool_names(last_request(stage))
    update(session.id, title="T", metadata={"a": "1", "b": "2"}, agent={"tools": []})
    changed = update(session.id, metadata={"a": None, "b": None})
    assert (changed.title, changed.metadata, changed.agent.tools) == ("T", {}, [])
    update(session.id, title="T", metadata={"c": None}, agent={"tools": []})
    update(session.id, title=None)
    stage.play(session, script({"say": "Two."}))
    assert stage.seen(session) == [
        *ANSWERED,
        "session.updated agent metadata title",
        "session.updated",
        "session.updated title",
        *ANSWERED,
    ]
    assert tool_names(last_request(stage)) == []
    first = next(
        e for e in stage.client.beta.sessions.events.list(session.id) if e.type == "session.updated"
    )
    assert first.agent == changed.agent
    assert first.metadata == {"a": "1", "b": "2"}
    assert stage.client.beta.agents.retrieve(session.agent.id).tools == session.agent.tools


def test_a_running_sessions_agent_is_not_changed_but_its_title_is(stage, session):
    update = stage.client.beta.sessions.update
    refusals = []

    def change():
        refusals.extend(
            refused(update, session.id, title="Not", agent=fields)
            for fields in ({"tools": []}, {"mcp_servers": []})
        )
        update(session.id, title="While it runs")

    Before(stage, change)
    rested = stage.play(session, script(CALL, {"say": "Done."}))
    assert rested.title == "While it runs"
    assert rested.agent == session.agent
    assert {error["type"] for error in refusals} == {"invalid_request_error"}
    assert all("while the session is idle" in error["message"] for error in refusals)
    assert stage.seen(session)[5:7] == ["session.updated title", "agent.tool_use"]


def test_a_rescheduling_sessions_agent_is_not_changed(stage, session):
    """It waits for its retry as long as the provider asked, until it is interrupted."""
    slow = script({"error": "rate_limited", "retry_after": 600})
    stage.send(session, slow)
    stage.until(session, "rescheduling")
    error = refused(stage.client.beta.sessions.update, session.id, agent={"tools": []})
    assert "while the session is idle" in error["message"]
    for end_it in (stage.client.beta.sessions.archive, stage.client.beta.sessions.delete):
        assert "while it is running" in refused(end_it, session.id)["message"]
    stage.play(session, {"type": "user.interrupt"})
    assert stage.seen(session)[-5:] == ["user.interrupt queued", "user.interrupt", *end()]


def test_what_an_update_cannot_change_is_refused_whole(stage, session):
    update = stage.client.beta.sessions.update
    for fields, words in (
        ({"vault_ids": ["vlt_x"]}, "vault_ids"),
        ({"budget": {"type": "limit"}}, "budget.max_list_cost"),
        ({"agent": {"mcp_servers": [{}]}}, "`agent.mcp_servers of a session update`"),
        ({"agent": {"model": "claude-opus-5"}}, 'unknown field "agent.model"'),
        ({"agent": {"system": "x"}}, 'unknown field "agent.system"'),
        ({"agent": {"skills": []}}, 'unknown field "agent.skills"'),
        ({"metadata": {str(n): "" for n in range(17)}}, "16 pairs"),
    ):
        error = refused(update, session.id, title="Never", extra_body=fields)
        assert words in error["message"]
    assert stage.client.beta.sessions.retrieve(session.id).title is None
    assert stage.client.beta.sessions.events.list(session.id).data == []


# ---------------------------------------------------------------- the end
def test_an_archived_session_is_read_and_takes_nothing_more(stage, session):
    sessions = stage.client.beta.sessions
    stage.play(session, script({"say": "One."}))
    archived = sessions.archive(session.id)
    assert archived.status == "terminated"
    assert stage.seen(session) == [
        *ANSWERED,
        "session.thread_status_terminated",
        "session.status_terminated",
    ]
    for events in ([message("Late.")], [operator("Late.")], [{"type": "user.interrupt"}]):
        error = refused(sessions.events.send, session.id, events=events)
        assert error["message"].startswith("Cannot send events to archived session")
    assert "archived" in refused(sessions.update, session.id, title="Late")["message"]
    assert sessions.archive(session.id) == archived
    assert sessions.retrieve(session.id) == archived
    assert session.id not in [s.id for s in sessions.list(limit=100)]
    assert session.id in [s.id for s in sessions.list(limit=100, include_archived=True)]
    assert sessions.delete(session.id).id == session.id
    with pytest.raises(anthropic.NotFoundError):
        sessions.retrieve(session.id)


def test_a_running_session_is_neither_archived_nor_deleted(stage, session):
    sessions = stage.client.beta.sessions
    refusals = []

    def try_to():
        refusals.extend(refused(verb, session.id) for verb in (sessions.archive, sessions.delete))

    Before(stage, try_to)
    stage.play(session, script({"say": "One."}))
    assert [error["type"] for error in refusals] == ["invalid_request_error"] * 2
    assert [error["message"].split(" a ")[0] for error in refusals] == [
        "Cannot archive",
        "Cannot delete",
    ]
    assert stage.seen(session) == ANSWERED


def test_a_deleted_session_is_gone_and_what_it_was_made_of_is_not(stage, session):
    sessions = stage.client.beta.sessions
    stage.play(session, script({"say": "One."}))
    assert sessions.delete(session.id).to_dict() == {"id": session.id, "type": "session_deleted"}
    for call in (
        sessions.retrieve,
        sessions.archive,
        sessions.delete,
        sessions.update,
        sessions.events.list,
        sessions.threads.list,
        lambda id_: sessions.events.send(id_, events=[message("Late.")]),
    ):
        with pytest.raises(anthropic.NotFoundError):
            call(session.id)
    assert session.id not in [s.id for s in sessions.list(limit=100, include_archived=True)]
    assert stage.client.beta.agents.retrieve(session.agent.id).id == session.agent.id
    assert stage.client.beta.environments.retrieve(session.environment_id)
