"""A server without a sandbox: the model is told so, and the session goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold.adapters.no_sandbox import REFUSAL, NoSandbox
from freehold.errors import ToolError
from freehold.ports import SandboxRef
from freehold.testing.script import script
from freehold.toolset import ToolCall
from tests.unit.sessions import Bench

REF = SandboxRef("wrkspc_a", "sesn_1")
CALL = ToolCall("sthr_1", "sevt_1", "bash", {"command": "true"})


def test_each_call_is_refused_in_words_for_the_model():
    sandboxes = NoSandbox()
    with pytest.raises(ToolError, match=REFUSAL):
        sandboxes.boot(REF)
    with pytest.raises(ToolError, match=REFUSAL):
        sandboxes.execute(REF, "", CALL)


def test_what_ends_a_session_has_nothing_to_do():
    sandboxes = NoSandbox()
    sandboxes.prewarm(REF)
    sandboxes.cancel(REF, "", [CALL])
    sandboxes.remove(REF)


def test_a_session_goes_on_without_tools(tmp_path):
    bench = Bench(tmp_path)
    bench.app = replace(bench.app, sandboxes=NoSandbox())
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": "Then not."}))
    (result,) = [e for e in bench.events if e["type"] == "agent.tool_result"]
    assert result["is_error"] is True
    assert result["content"] == [{"type": "text", "text": REFUSAL}]
    assert bench.kinds()[-1] == "session.status_idle"
    (said,) = [e for e in bench.events if e["type"] == "agent.message"]
    assert said["content"][0]["text"] == "Then not."
