"""An agent, an environment, a session, one message, and every event until the session is idle.

    FREEHOLD_API_KEY=... python examples/quickstart.py

FREEHOLD_URL names the server, http://127.0.0.1:8700 by default.
"""

from __future__ import annotations

import os
import secrets

import anthropic

client = anthropic.Anthropic(
    base_url=os.environ.get("FREEHOLD_URL", "http://127.0.0.1:8700"),
    api_key=os.environ["FREEHOLD_API_KEY"],
)

agent = client.beta.agents.create(
    name="Quickstart",
    model="claude-sonnet-5-5",
    tools=[{"type": "agent_toolset_20260401"}],
)
environment = client.beta.environments.create(name=f"quickstart-{secrets.token_hex(4)}")
session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
print(session.id, session.status)

# The stream is opened first: it carries what happens from then on.
with client.beta.sessions.events.stream(session.id) as stream:
    client.beta.sessions.events.send(
        session.id,
        events=[
            {
                "type": "user.message",
                "content": [{"type": "text", "text": "Write a program, run it, and report."}],
            }
        ],
    )
    for event in stream:
        print(event.type)
        if event.type == "agent.message":
            print("".join(block.text for block in event.content if block.type == "text"))
        elif event.type == "session.status_idle":
            print(event.stop_reason.type)
            break
