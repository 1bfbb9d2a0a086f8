"""Whatever a tool brings, the session goes on: the next turn works at an API as strict as the real
one (BEHAVIOUR 9: the hosted product ends the session for one of these).
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from freehold.adapters.claude.reply import ReplyBuilder
from freehold.testing.messages_server import MessagesServer
from freehold.testing.script import script
from freehold.toolset import ToolResult
from tests.contract.claude_endpoint import model_at
from tests.images import gif, jpeg, pdf, png, webp
from tests.unit.sessions import Bench

SCRIPT = script({"say": "Look.", "tool": "bash", "input": {"command": "x"}}, {"say": "Seen."})


def text(words):
    return {"type": "text", "text": words}


def image(data, media_type="image/png", **more):
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source, **more}


def document(data, **more):
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source, **more}


def of(data):
    return base64.b64encode(data).decode()


def cut(data, by=8):
    return of(base64.b64decode(data)[:-by])


HOSTILE = {
    "nothing": (),
    "no words": (text(""),),
    "white space": (text(" \n\t"),),
    "half a surrogate pair": (text("a \ud83d b"),),
    "half a pair in an image": (image(png(), "image/\udc00"),),
    "half a pair in a key": ({"type": "text", "text": "a", "\ud83d": 1},),
    "NUL": (text("a\0b"),),
    "control characters": (text("".join(map(chr, range(32))) + "\x7f\x85\u2028\ufeff\ufffe"),),
    "ten million characters": (text("x" * 10_000_000),),
    "base64 that is none": (image("%%%"),),
    "base64 without its padding": (image(png().rstrip("=") + "A"),),
    "base64 in lines": (image(png()[:20] + "\n" + png()[20:]),),
    "an image of no bytes": (image(""),),
    "a PNG that is cut": (image(cut(png())),),
    "a JPEG that is cut": (image(cut(jpeg(), 2), "image/jpeg"),),
    "a GIF that is cut": (image(cut(gif(), 1), "image/gif"),),
    "a WebP that is cut": (image(cut(webp("extended")), "image/webp"),),
    "a header alone": (image(of(b"\x89PNG\r\n\x1a\n")),),
    "an image of no pixels": (image(png(0, 0)),),
    "an image above 8000 pixels": (image(png(8001, 10)),),
    "an image above 10 MB": (image(of(base64.b64decode(png()) + bytes(9_000_000))),),
    "words under an image's name": (image(of(b"<html>not found</html>")),),
    "an image under another's name": (image(jpeg(), "image/png"),),
    "an unknown media type": (image(of(b"II*\0"), "image/tiff"),),
    "a PDF that is none": (document(of(b"not a PDF")),),
    "a PDF of no bytes": (document(""),),
    "a PDF that is locked": (document(of(b"%PDF-1.7 /Encrypt 5 0 R")),),
    "a PDF above 32 MB": (document(of(b"%PDF-1.7" + bytes(25_000_000))),),
    "a title of no characters": (document(pdf(), title=""),),
    "a title too long": (document(pdf(), title="x" * 501),),
    "a URL that is none": ({"type": "image", "source": {"type": "url", "url": "file:///etc"}},),
    "a file nobody has": ({"type": "image", "source": {"type": "file", "file_id": "file_1"}},),
    "a field nobody knows": (image(png(), colour="red"),),
    "a breakpoint of its own": (image(png(), cache_control={"type": "ephemeral"}),),
    "an unknown kind": ({"type": "tool_use", "id": "x", "name": "y", "input": {}},),
    "no kind": ({"text": "x"},),
    "no text": ({"type": "text"},),
    "no source": ({"type": "image"},),
    "redacted": ({"type": "redacted"},),
    "a search result of nothing": (
        {
            "type": "search_result",
            "source": "",
            "title": "",
            "content": [],
            "citations": {"enabled": True},
        },
    ),
    "many images": tuple(image(png()) for _ in range(101)),
    "many large images": tuple(image(png(2001, 9)) for _ in range(21)),
    "many PDFs": tuple(document(pdf()) for _ in range(120)),
    "40 MB of images": tuple(
        image(of(base64.b64decode(png()) + bytes(6_000_000))) for _ in range(5)
    ),
}


class Hostile:
    """A sandbox that answers every call with the same blocks."""

    def __init__(self, blocks, *, is_error):
        self._result = ToolResult(blocks, is_error)

    def prewarm(self, sandbox):
        pass

    def boot(self, sandbox):
        return "boot-1"

    def execute(self, sandbox, boot_id, call):
        return self._result

    def cancel(self, sandbox, boot_id, calls):
        pass


@pytest.fixture(scope="module")
def api():
    with MessagesServer() as server:
        yield server


@pytest.fixture(scope="module")
def model(api):
    with model_at(api.url, api.api_key) as found:
        yield found


def judge(bench, api):
    """Two turns with a hostile result each. Answers the result as the model is shown it."""
    for _ in range(2):
        first = len(api.requests)
        bench.say(SCRIPT)
        # Two, and one for a summary where so much came that there is no room.
        assert {asked.status for asked in api.requests[first:]} == {200}
        assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert "session.error" not in bench.kinds()
    (result,) = json.loads(api.requests[-1].body)["messages"][-1]["content"]
    assert result["content"]
    return result


@pytest.mark.parametrize("blocks", HOSTILE.values(), ids=HOSTILE)
def test_no_result_poisons_a_session(tmp_path, api, model, blocks):
    bench = Bench(tmp_path, model=model, max_model_retries=0)
    bench.app = replace(bench.app, sandboxes=Hostile(blocks, is_error=False))
    judge(bench, api)


@pytest.mark.parametrize("name", ["nothing", "no words", "an image of no bytes"])
def test_no_failure_poisons_a_session(tmp_path, api, model, name):
    bench = Bench(tmp_path, model=model, max_model_retries=0)
    bench.app = replace(bench.app, sandboxes=Hostile(HOSTILE[name], is_error=True))
    assert judge(bench, api)["is_error"]


class Escaping:
    """A model that writes half of a surrogate pair into a call, then goes on."""

    def __init__(self):
        self._asked = 0

    def open(self, request):
        self._asked += 1
        return self

    def close(self):
        pass

    def __iter__(self):
        is_call = self._asked == 1
        call = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}
        block = call if is_call else text("Seen.")
        builder = ReplyBuilder("")
        events = [
            {"type": "message_start", "message": {}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use" if is_call else "end_turn"},
            },
            {"type": "message_stop"},
        ]
        if is_call:
            written = '{"command": "echo \\ud83d", "\\udfff": 1}'
            delta = {"type": "input_json_delta", "partial_json": written}
            events.insert(2, {"type": "content_block_delta", "index": 0, "delta": delta})
        for event in events:
            yield from builder.read(event)
        yield builder.finish()


def test_half_a_surrogate_pair_in_a_call_does_not_stop_the_session(tmp_path):
    bench = Bench(tmp_path, model=Escaping(), max_model_retries=0)
    bench.say("Go.")
    (use,) = (event for event in bench.events if event["type"] == "agent.tool_use")
    assert use["input"] == {"command": "echo ?", "?": 1}
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert "session.error" not in bench.kinds()
