"""Conversations that outgrow the model's window: when they are shortened, what stays, what a turn
then reads.
"""

from __future__ import annotations

import json

import pytest

from freehold.domain.compaction import INSTRUCTION
from freehold.domain.transcript import messages_of
from freehold.testing.script import script
from freehold.testing.scripted_model import ScriptedModel
from freehold.toolset import ToolResult
from tests.unit.sessions import Bench

WINDOW = 12_000
COMPACTED = "agent.thread_context_compacted"


def small(tmp_path, **settings):
    """A session with a model of a small window, which is refused where it is passed."""
    given = {"context_window": WINDOW, **settings}
    bench = Bench(tmp_path, model=ScriptedModel(given["context_window"]), **given)
    bench.sandbox.execute = long_result
    return bench


def long_result(sandbox, boot_id, call):
    del sandbox, boot_id
    return ToolResult.text(f"{call.input['command']} {'x' * 1600}")


@pytest.fixture
def bench(tmp_path):
    bench = small(tmp_path)
    yield bench
    bench.judge()


def rounds(n):
    """Calls whose results fill the window, each different from the others."""
    calls = ({"tool": "bash", "input": {"command": str(number)}} for number in range(n))
    return [*calls, {"say": "All done. {remembered}"}]


def is_summary(request):
    texts = [b.get("text") for m in request.messages for b in m["content"]]
    return INSTRUCTION in texts


def bare(messages):
    """Without the breakpoints, which move."""
    return [
        [m["role"], [{k: v for k, v in b.items() if k != "cache_control"} for b in m["content"]]]
        for m in messages
    ]


def test_a_session_outlives_the_window(bench):
    bench.say("remember: the number is 17\n" + script(*rounds(60)))
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    last = [e for e in bench.events if e["type"] == "agent.message"][-1]
    assert last["content"][0]["text"] == "All done. the number is 17"
    assert bench.kinds().count("agent.tool_result") == 60
    assert bench.kinds().count(COMPACTED) >= 3
    assert "session.error" not in bench.kinds()
    assert bench.kinds().count("session.status_running") == 1


def test_the_request_for_a_summary_is_the_last_request_and_one_text(bench):
    bench.say(script(*rounds(20)))
    n = next(n for n, request in enumerate(bench.model.requests) if is_summary(request))
    before, asked = bench.model.requests[n - 1], bench.model.requests[n]
    assert (asked.system, asked.tools) == (before.system, before.tools)
    assert bare(asked.messages)[:-1] == bare(before.messages)[:-1]
    *same, last = bare(asked.messages)[-1][1]
    assert same == bare(before.messages)[-1][1]
    assert last == {"type": "text", "text": INSTRUCTION}


def test_what_follows_a_summary_is_the_summary_and_the_last_replies_as_they_were(bench):
    bench.say(script(*({"think": "hm", **element} for element in rounds(20))))
    n = next(n for n, request in enumerate(bench.model.requests) if is_summary(request))
    before, _, after = bench.model.requests[n - 1 : n + 2]
    summary, *kept = bare(after.messages)
    assert summary[0] == "user"
    assert summary[1][0]["text"].startswith("This is the summary of an earlier part")
    assert len(kept) >= 4
    assert kept[:-2] == bare(before.messages)[-len(kept) + 2 :]
    assert kept[0][0] == "assistant"
    assert kept[0][1][0]["signature"]


def test_the_span_of_a_summary_is_closed_and_its_usage_counts(bench):
    bench.say(script(*rounds(20)))
    spans = [e["model_usage"] for e in bench.events if e["type"] == "span.model_request_end"]
    assert len(spans) == len(bench.model.requests)
    usage = next(e["usage"] for e in bench.events if e["type"] == "session.usage")
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert usage[name] == sum(span[name] for span in spans)


def test_a_reader_that_begins_at_the_checkpoint_sees_what_one_of_everything_sees(bench):
    bench.say(script(*rounds(40)))
    begins = bench.head.begins
    assert begins.version > 0
    short = bench.app.log.history(bench.key, bench.thread_id, begins)
    assert len(short) < len(bench.entries)
    assert messages_of(short) == messages_of(bench.entries)
    assert len(json.dumps(messages_of(short))) < 4 * WINDOW
