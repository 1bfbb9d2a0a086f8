"""Previews on their way to the event loop: bounded, and what is sent of one has no hole."""

from __future__ import annotations

import asyncio

from functions.stream.hub import Hub
from tests.unit.sessions import Bench


def _start(event_id):
    return {"type": "event_start", "event": {"type": "agent.message", "id": event_id}}


def _delta(event_id, n):
    content = {"type": "text", "text": str(n)}
    delta = {"type": "content_delta", "index": 0, "content": content}
    return {"type": "event_delta", "event_id": event_id, "delta": delta}


def test_a_loop_that_does_not_keep_up_sheds_the_rest_of_a_preview(tmp_path):
    bench = Bench(tmp_path)
    topic = bench.key.feed(bench.thread_id)
    offered = []

    async def main():
        hub = Hub(bench.app)
        first, last = asyncio.Event(), asyncio.Event()

        def offer(frame):
            offered.append(frame)
            first.set()
            if frame == _delta("next", 0):
                last.set()

        wanted = frozenset({"agent.message"})
        following = hub.follow(bench.key, bench.head, 0, wanted)
        await following.ready()
        following.follower.offer = offer
        feed = bench.app.feed
        feed.preview(topic, _start("long"))
        for n in range(20_000):
            feed.preview(topic, _delta("long", n))
        await first.wait()
        feed.preview(topic, _delta("long", 20_000))
        feed.preview(topic, _start("next"))
        feed.preview(topic, _delta("next", 0))
        await last.wait()
        following.close()
        hub.release()

    asyncio.run(asyncio.wait_for(main(), 20))
    deltas = [f["delta"]["content"]["text"] for f in offered if f.get("event_id") == "long"]
    assert deltas == [str(n) for n in range(len(deltas))]
    assert 1000 < len(deltas) < 20_000
