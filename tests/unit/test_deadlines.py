"""Invocations that run out of time: what is finished enters the log, and the next one goes on."""

from __future__ import annotations

import threading
import time

from freehold.engine.invocation import MARGIN_SECONDS
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.errors import ModelStopped
from freehold.ports import BlockDone, BlockStarted, ReplyDone, TextDelta, Usage
from freehold.testing.script import script
from freehold.toolset import WAIT_SECONDS
from tests.unit.sessions import Bench


class Endless:
    """Begins with the given blocks and never ends the next one."""

    def __init__(self, *blocks):
        self.blocks = blocks
        self.closed = threading.Event()

    def open(self, request):
        del request
        return self

    def close(self):
        self.closed.set()

    def __iter__(self):
        for n, block in enumerate(self.blocks):
            yield BlockStarted(n, block["type"])
            yield BlockDone(n, block)
        yield BlockStarted(len(self.blocks), "text")
        yield TextDelta(len(self.blocks), "never finis")
        assert self.closed.wait(20)
        raise ModelStopped


class Final(Endless):
    def __iter__(self):
        yield BlockStarted(0, "text")
        yield BlockDone(0, {"type": "text", "text": "The rest."})
        yield ReplyDone("end_turn", Usage())


def soon():
    return time.monotonic() + MARGIN_SECONDS + 0.05


def test_the_margin_outlasts_a_sandbox_that_holds_a_call():
    assert MARGIN_SECONDS >= WAIT_SECONDS + 10


def test_a_reply_that_is_cut_keeps_its_complete_blocks_and_goes_on(tmp_path):
    bench = Bench(tmp_path, model=Endless({"type": "text", "text": "The beginning."}))
    bench.say("Long, please.", drain=False)
    run = bench.runs.waiting.pop()
    assert run_turn(bench.app, run, deadline=soon()).next == "turn"
    bench.model.model = Final()
    assert run_turn(bench.app, run).next == "idle"
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert said == ["The beginning.", "The rest."]
    assert bench.kinds().count("session.status_idle") == 1
    last = bench.model.requests[-1].messages
    assert [message["role"] for message in last] == ["user", "assistant", "user"]
    assert "cut off" in last[-1]["content"][0]["text"]


def test_a_cut_reply_whose_tool_use_is_complete_runs_the_tool(tmp_path):
    use = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "x"}}
    bench = Bench(tmp_path, model=Endless(use))
    bench.say("Go.", drain=False)
    assert run_turn(bench.app, bench.runs.waiting.pop(), deadline=soon()).next == "tools"
    assert [u.state for u in bench.head.uses] == ["allow"]


def test_a_reply_without_a_complete_block_is_a_failed_request(tmp_path):
    bench = Bench(tmp_path, model=Endless())
    bench.say("Go.", drain=False)
    assert run_turn(bench.app, bench.runs.waiting.pop(), deadline=soon()).next == "wait"
    assert bench.head.status == "rescheduling"


def test_finished_calls_at_the_front_are_answered_and_the_round_is_entered_again(tmp_path):
    bench = Bench(tmp_path)
    calls = [{"tool": "bash", "input": {"command": n}} for n in ("first", "slow", "last")]
    bench.say(script({"tools": calls}, {"say": "Done."}), drain=False)
    run = bench.runs.waiting.pop()
    assert run_turn(bench.app, run).next == "tools"
    execute, slow = bench.sandbox.execute, threading.Event()

    def hold(sandbox, boot_id, call):
        if call.input["command"] == "slow" and not slow.is_set():
            return None
        return execute(sandbox, boot_id, call)

    bench.sandbox.execute = hold
    assert run_tools(bench.app, run, deadline=soon()).next == "tools"
    assert [u.state for u in bench.head.uses] == ["done", "started", "started"]
    slow.set()
    assert run_tools(bench.app, run).next == "turn"
    uses = [e["id"] for e in bench.events if e["type"] == "agent.tool_use"]
    results = [e["tool_use_id"] for e in bench.events if e["type"] == "agent.tool_result"]
    assert results == uses
