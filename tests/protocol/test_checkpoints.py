"""Whatever happens to a conversation that is shortened again and again, what the model is shown
keeps its rules: every call is answered, what was not answered is there once and in order, and a
reader that begins at the checkpoint sees what a reader of everything sees.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from freehold.domain.compaction import INSTRUCTION
from freehold.domain.transcript import messages_of
from freehold.errors import InvalidRequest, ModelError
from freehold.ports import BlockDone, BlockStarted, ReplyDone, Usage
from tests.judge import judge
from tests.unit.sessions import Bench

FULL = 10**6
KEPT_ORDERS = 4
"""Have room in an eighth of what there is, at 67 bytes each."""
ACTS = ("say", "say two", "order", "answer", "interrupt", "interrupt and say")
DURING = ("nothing", "nothing", "nothing", *ACTS)
REPLIES = ("text", "text", "bash", "bashes", "ask", "custom", "mixed", "blank", "too long")
TOOLS = {"bash": ["bash"], "bashes": ["bash", "bash"], "ask": ["write"], "custom": ["lookup"]}
TOOLS["mixed"] = ["bash", "write", "lookup"]


class Story:
    """A session in which things happen, numbered in the order in which they were accepted."""

    def __init__(self, directory, replies, clears):
        self.replies = list(replies)
        self.number = 0
        self.summarized = 0
        kept = {"clear_tool_results": 100} if clears else {}
        self.bench = Bench(
            Path(directory), model=self, context_window=1000, max_model_retries=1, **kept
        )

    # ------------------------------------------------------------ clients
    def act(self, name, *, drain=True):
        """What a parked session does not take is left out."""
        try:
            self._act(name)
        except InvalidRequest:
            return
        if drain:
            self.bench.runs.drain(self.bench.app)

    def _act(self, name):
        waiting = [use for use in self.bench.head.uses if use.state == "ask"]
        if name == "answer" and waiting:
            self.bench.send(self._answer(waiting[0]))
        elif name == "order":
            self.bench.send(self._text("system.message"))
        elif name.startswith("say"):
            self.bench.send(*(self._text("user.message") for _ in range(1 + name.endswith("two"))))
        elif name.startswith("interrupt"):
            said = [self._text("user.message")] if name.endswith("say") else []
            self.bench.send({"type": "user.interrupt"}, *said)

    def _text(self, kind):
        self.number += 1
        word = f"#{self.number:05d}"
        content = [{"type": "text", "text": f"{word} {'x' * 60}"}]
        return {"type": kind, "content": content}

    def _answer(self, use):
        if use.custom:
            content = [{"type": "text", "text": "found"}]
            answer = {"type": "user.custom_tool_result", "content": content}
            return {**answer, "custom_tool_use_id": use.event_id}
        return {"type": "user.tool_confirmation", "tool_use_id": use.event_id, "result": "allow"}

    # ------------------------------------------------------------ the model
    def open(self, request):
        judge(request)
        self._check(request)
        reply, during, is_full = self.replies.pop(0) if self.replies else ("text", "nothing", False)
        self.act(during, drain=False)
        is_summary = INSTRUCTION in json.dumps(request.messages)
        return _Reply(self, request, reply, is_summary=is_summary, is_full=is_full)

    def _check(self, request):
        """The words of users behind the summary ascend, each is there once, and so are those of
        operators; nothing that is new is missing.
        """
        users = _words(request, "user")
        assert users == sorted(set(users))
        operators = _words(request, "system")
        assert operators == sorted(set(operators))
        bench, head = self.bench, self.bench.head
        short = bench.app.log.history(bench.key, bench.thread_id, head.begins)
        assert messages_of(short) == messages_of(bench.entries)
        if INSTRUCTION in json.dumps(request.messages):
            return
        events = {event["id"]: event for event in bench.events}
        taken = [events[i] for i in head.taken if i in events]
        unanswered = [_word(event) for event in taken if event["type"] == "user.message"]
        assert [word for word in users if word in unanswered] == unanswered
        consumed = [i for entry in bench.entries for i in entry.private.get("consumed", ())]
        heard = [_word(events[i]) for i in consumed if events[i]["type"] == "system.message"]
        assert operators == heard[len(heard) - len(operators) :]
        assert len(operators) >= min(len(heard), KEPT_ORDERS)


class _Reply:
    def __init__(self, story, request, reply, *, is_summary, is_full):
        self._story, self._request, self._reply = story, request, reply
        self._is_summary, self._is_full = is_summary, is_full

    def close(self):
        pass

    def __iter__(self):
        if self._reply == "too long":
            raise ModelError(
                "model_request_failed", "long", retryable=False, refused=True, too_long=True
            )
        usage = Usage(input_tokens=FULL if self._is_full else 1)
        if self._is_summary:
            self._story.summarized += 1
            yield BlockDone(0, {"type": "text", "text": "What was."})
            yield ReplyDone("end_turn", usage)
            return
        self._story.number += 1
        if self._reply != "blank":
            yield BlockStarted(0, "text")
            yield BlockDone(0, {"type": "text", "text": f"said {self._story.number}"})
        names = TOOLS.get(self._reply, [])
        for n, name in enumerate(names, 1):
            tool_id = f"toolu_{self._story.number}_{n}"
            yield BlockStarted(n, "tool_use")
            given = {"command": "y" * 40} if name == "bash" else {}
            yield BlockDone(n, {"type": "tool_use", "id": tool_id, "name": name, "input": given})
        yield ReplyDone("tool_use" if names else "end_turn", usage)


def _words(request, role):
    """The numbered words of one role, in the order in which they stand."""
    blocks = [b for m in request.messages if m["role"] == role for b in m["content"]]
    texts = [b["text"] for b in blocks if b["type"] == "text"]
    return [found for text in texts for found in re.findall(r"^#\d{5}", text)]


def _word(event):
    content = event.get("content") or [{}]
    found = re.match(r"#\d{5}", str(content[0].get("text")))
    return found[0] if found else ""


REPLY = st.tuples(st.sampled_from(REPLIES), st.sampled_from(DURING), st.booleans())
SUMMARIZED = []


@given(
    acts=st.lists(st.sampled_from(ACTS), min_size=4, max_size=14),
    replies=st.lists(REPLY, min_size=6, max_size=30),
    clears=st.booleans(),
)
@settings(
    max_examples=40,
    phases=[Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_checkpoint_loses_repeats_or_reorders_what_was_said(acts, replies, clears):
    with TemporaryDirectory() as directory:
        story = Story(directory, replies, clears)
        for act in ["say", *acts]:
            story.act(act)
        for _ in range(20):
            story.act("answer")
        story.act("say")
        assert story.bench.head.status in ("idle", "requires_action")
        SUMMARIZED.append(story.summarized)


def test_conversations_were_summarized():
    if SUMMARIZED:
        assert sum(SUMMARIZED) > len(SUMMARIZED) / 2
