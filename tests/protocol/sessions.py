"""A session written straight into the store, with an agent that has a tool of every kind."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.domain.draft import Draft, Snapshot
from freehold.domain.session import Head, SessionState
from freehold.ids import new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import App, Write
from freehold.services.keys import Caller
from freehold.session_doc import SessionDoc, write_doc
from freehold.wire.sessions import SessionAgent

WORKSPACE = "wrkspc_test"


POLICIES = {"bash": "always_allow", "write": "always_ask"}


def asking_agent(
    model: str = "claude-opus-5", policies: Mapping[str, str] = POLICIES
) -> SessionAgent:
    """`bash` is always allowed, `write` always asks, `lookup` is the client's."""
    return SessionAgent.model_validate(
        {
            "type": "agent",
            "id": new_id("agent"),
            "version": 1,
            "name": "tester",
            "description": None,
            "system": None,
            "model": {"id": model, "effort": None, "speed": "standard"},
            "mcp_servers": [],
            "skills": [],
            "multiagent": None,
            "execution_identity": {"type": "service_account"},
            "tools": [
                {
                    "type": "agent_toolset_20260401",
                    "default_config": {
                        "enabled": False,
                        "permission_policy": {"type": "always_allow"},
                    },
                    "configs": [
                        {
                            "type": name,
                            "name": name,
                            "enabled": True,
                            "permission_policy": {"type": policy},
                        }
                        for name, policy in policies.items()
                    ],
                },
                {
                    "type": "custom",
                    "name": "lookup",
                    "description": "Looks something up.",
                    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
                },
            ],
        }
    )


def seed_session(
    app: App,
    *,
    cap: int | None = None,
    time_rate: int = 200,
    agent: SessionAgent | None = None,
    environment_id: str | None = None,
) -> tuple[SessionKey, Caller]:
    """An idle session with its primary thread."""
    key = SessionKey(WORKSPACE, new_id("sesn"))
    at = timestamp(app.clock())
    agent = agent or asking_agent()
    head = Head(
        thread_id=new_id("sthr"),
        parent_id=None,
        agent_name=agent.name,
        created_at=at,
        updated_at=at,
    )
    state = SessionState(primary_id=head.thread_id, cap=cap, time_rate=time_rate, updated_at=at)
    draft = Draft(Snapshot(key, state, {}), commit_id=new_id("cmt"), actor="test", now=app.clock())
    draft.born(head)
    doc = SessionDoc(
        id=key.session_id,
        agent=agent,
        environment_id=environment_id or new_id("env"),
        title=None,
        metadata={},
        created_at=at,
        updated_at=at,
    )
    draft.extra.append(write_doc(app.blobs, key, doc, revision=0))
    draft.extra.append(Write(key.index(), put={"created_at": at}))
    app.log.create(draft)
    return key, Caller(WORKSPACE, "key_test", "api")
