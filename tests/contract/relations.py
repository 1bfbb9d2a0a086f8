"""How the events of a session refer to each other, whatever happened in it (BEHAVIOUR 6, 7)."""

from __future__ import annotations

SAID = {"agent.message", "agent.thinking", "agent.tool_use", "agent.custom_tool_use"}
ANSWERS = {
    "agent.tool_result": "tool_use_id",
    "user.custom_tool_result": "custom_tool_use_id",
}


def check_relations(events):
    """The history of a session with one thread, as the SDK lists it."""
    processed = [event.processed_at for event in events if event.processed_at is not None]
    assert processed == sorted(processed)
    assert len({event.id for event in events}) == len(events)
    assert all(event.id.startswith("sevt_") for event in events)
    _Walk().run(events)


class _Walk:
    def __init__(self):
        self.request = None
        self.uses, self.asked, self.answered, self.confirmed = {}, set(), set(), set()
        self.threads = set()
        self.previous = None

    def run(self, events):
        for event in events:
            self._take(event)
            self.previous = event
        assert len(self.threads) <= 1
        if events and events[-1].type == "session.status_idle":
            assert self.request is None
            waiting = set(getattr(events[-1].stop_reason, "event_ids", ()))
            assert set(self.uses) - self.answered == waiting

    def _take(self, event):
        if event.type in SAID:
            assert self.request is not None, f"{event.type} outside of a model request"
        if event.type.endswith("tool_use"):
            self.uses[event.id] = event
            permission = getattr(event, "evaluated_permission", "ask")
            self.asked |= {event.id} if permission == "ask" else set()
        elif event.type in ANSWERS:
            self._answer(getattr(event, ANSWERS[event.type]), event)
        elif event.type == "user.tool_confirmation":
            assert event.tool_use_id in self.asked - self.answered - self.confirmed
            self.confirmed.add(event.tool_use_id)
        elif event.type.startswith("span."):
            self._span(event)
        elif event.type.startswith("session.thread_status"):
            self.threads.add((event.session_thread_id, event.agent_name))
        elif event.type == "session.status_idle":
            self._idle(event)

    def _span(self, event):
        if event.type == "span.model_request_start":
            assert self.request is None, "a request within a request"
            self.request = event.id
        else:
            assert event.model_request_start_id == self.request
            self.request = None

    def _answer(self, use_id, event):
        use = self.uses[use_id]
        assert use_id not in self.answered, "a call is answered once"
        kind = "custom_tool_use" if event.type == "user.custom_tool_result" else "tool_use"
        assert use.type == f"agent.{kind}"
        self.answered.add(use_id)

    def _idle(self, event):
        assert self.previous.type == "session.usage"
        waiting = set(getattr(event.stop_reason, "event_ids", ()))
        assert waiting <= self.asked - self.answered - self.confirmed
        assert (event.stop_reason.type == "requires_action") == bool(waiting)
