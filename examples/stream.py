"""Prints the agent's words while the model still writes them.

    FREEHOLD_API_KEY=... python examples/stream.py

With `event_deltas` the stream previews a message: `event_start` names the event to come,
`event_delta` brings pieces of its text, and `agent.message` with the same id closes it. Previews
are not in the history.
"""

from __future__ import annotations

import os
import secrets

import anthropic

client = anthropic.Anthropic(
    base_url=os.environ.get("FREEHOLD_URL", "http://127.0.0.1:8700"),
    api_key=os.environ["FREEHOLD_API_KEY"],
)

agent = client.beta.agents.create(name="Stream", model="claude-sonnet-5-5")
environment = client.beta.environments.create(name=f"stream-{secrets.token_hex(4)}")
session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)

previewed = ""
with client.beta.sessions.events.stream(session.id, event_deltas=["agent.message"]) as stream:
    client.beta.sessions.events.send(
        session.id,
        events=[
            {"type": "user.message", "content": [{"type": "text", "text": "Say hello, at length."}]}
        ],
    )
    for event in stream:
        if event.type == "event_start":
            previewed = ""
        elif event.type == "event_delta" and event.delta.content.type == "text":
            previewed += event.delta.content.text
            print(event.delta.content.text, end="", flush=True)
        elif event.type == "agent.message":
            text = "".join(block.text for block in event.content if block.type == "text")
            # Deltas may be left out under load; what came is always the beginning of the message.
            print(text.removeprefix(previewed))
        elif event.type == "session.status_idle":
            break
