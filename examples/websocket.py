"""Follows a session over a WebSocket and drops the connection half way: nothing is lost.

    FREEHOLD_API_KEY=... python examples/websocket.py

Each frame carries a sequence number. A client that comes back subscribes `after_seq` the last one
it saw; a frame may repeat, none is skipped.
"""

from __future__ import annotations

import json
import os
import secrets

import anthropic
from websockets.sync.client import connect

url = os.environ.get("FREEHOLD_URL", "http://127.0.0.1:8700")
key = os.environ["FREEHOLD_API_KEY"]
client = anthropic.Anthropic(base_url=url, api_key=key)

agent = client.beta.agents.create(
    name="WebSocket", model="claude-sonnet-5-5", tools=[{"type": "agent_toolset_20260401"}]
)
environment = client.beta.environments.create(name=f"websocket-{secrets.token_hex(4)}")
session = client.beta.sessions.create(
    agent=agent.id,
    environment_id=environment.id,
    initial_events=[
        {"type": "user.message", "content": [{"type": "text", "text": "Write a program, run it."}]}
    ],
)


def follow(after_seq: int, most: int | None = None) -> int:
    """Prints events after `after_seq` until the session is idle, or `most` of them; answers the
    last number.
    """
    socket_url = url.replace("http", "ws", 1) + "/ws"
    seen = 0
    with connect(socket_url, additional_headers={"x-api-key": key}) as socket:
        socket.send(
            json.dumps({"action": "subscribe", "session_id": session.id, "after_seq": after_seq})
        )
        for message in socket:
            frame = json.loads(message)
            if frame["type"] == "error":
                raise SystemExit(frame["error"]["message"])
            if frame["type"] != "event" or frame["seq"] <= after_seq:
                continue
            after_seq = frame["seq"]
            seen += 1
            print(after_seq, frame["event"]["type"])
            if frame["event"]["type"] == "session.status_idle" or seen == most:
                break
    return after_seq


last = follow(0, most=3)
print("connection dropped; resuming after", last)
follow(last)
