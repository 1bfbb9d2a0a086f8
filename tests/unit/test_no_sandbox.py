"""A server without a sandbox: the model is told so, and the session goes on."""

from __future__ import annotations

import pytest

from freehold.adapters.no_sandbox import REFUSAL, NoSandbox
from freehold.errors import ToolError
from freehold.ports import SandboxRef
from freehold.toolset import ToolCall

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
