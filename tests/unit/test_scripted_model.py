"""The scripted model: its script language, the work it does for a free text, its accounting."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from freehold.errors import ModelError
from freehold.ports import BlockDone, ModelRequest, ReplyDone, TextDelta, UsageSeen
from freehold.testing.model_contract import read, read_until_it_fails
from freehold.testing.script import NotAScript, parse_script, script
from freehold.testing.scripted_model import ScriptedModel, usage_of

TOOLS = tuple({"name": name, "input_schema": {"type": "object"}} for name in ("bash", "write"))
POINT = {"cache_control": {"type": "ephemeral"}}


def _text(text, **more):
    return {"type": "text", "text": text, **more}


def _user(*blocks):
    return {"role": "user", "content": [_text(b) if isinstance(b, str) else b for b in blocks]}


def _request(*messages, tools=TOOLS):
    return ModelRequest("claude-sonnet-5-5", (), tools, messages)


class Conversation:
    """A transcript that grows by what the model says and what the tools answer."""

    def __init__(self, text, tools=TOOLS):
        self.model = ScriptedModel()
        self.tools = tools
        self.messages = [_user(text)]

    def reply(self):
        chunks = read(self.model, _request(*self.messages, tools=self.tools))
        blocks = [chunk.block for chunk in chunks if isinstance(chunk, BlockDone)]
        self.messages.append({"role": "assistant", "content": blocks})
        return blocks

    def answer(self, *texts, is_error=False, said=()):
        uses = [b for b in self.messages[-1]["content"] if b["type"] == "tool_use"]
        results = [
            {
                "type": "tool_result",
                "tool_use_id": use["id"],
                "content": [_text(text)],
                "is_error": is_error,
            }
            for use, text in zip(uses, texts, strict=True)
        ]
        self.messages.append(_user(*results, *said))


def _spoken(blocks):
    return "".join(block["text"] for block in blocks if block["type"] == "text")


def _uses(blocks):
    return [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]


# ---------------------------------------------------------------- scripts
def test_each_element_is_one_reply_and_then_it_is_done():
    talk = Conversation(
        script({"tool": "bash", "input": {"command": "ls"}}, {"say": "Saw {result}"})
    )
    assert _uses(talk.reply()) == [("bash", {"command": "ls"})]
    talk.answer("a.txt")
    assert _spoken(talk.reply()) == "Saw a.txt"
    talk.messages.append(_user(_text("thanks")))
    assert _spoken(talk.reply()) == "You said: thanks"


def test_after_the_last_element_the_reply_is_done():
    talk = Conversation(script({"tool": "bash"}))
    talk.reply()
    talk.answer("")
    assert _spoken(talk.reply()) == "Done."


def test_the_latest_message_counts_also_one_beside_results():
    talk = Conversation(script({"tool": "bash"}, {"say": "never"}))
    talk.reply()
    talk.answer("x", said=["wait", script({"say": "listening"})])
    assert _spoken(talk.reply()) == "listening"


def test_a_script_may_stand_in_a_fenced_block_among_words():
    talk = Conversation('Please do:\n```script\n[{"say": "fenced"}]\n```\nThank you.')
    assert _spoken(talk.reply()) == "fenced"


def test_results_of_parallel_calls_are_quoted_in_order():
    talk = Conversation(
        script({"tools": [{"tool": "bash"}, {"tool": "bash"}]}, {"say": "{result}"})
    )
    talk.reply()
    talk.answer("one", "two")
    assert _spoken(talk.reply()) == "one\ntwo"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('script: [{"say": ]', "at character 17"),
        ('script: [{"shout": "x"}]', "0.shout: Extra inputs are not permitted"),
        ('script: [{"say": 3}]', "0.say"),
        ('script: [{"times": 0}]', "0.times"),
        ('script: [{"error": "odd"}]', "0.error"),
        ('script: [{"tool": "bash", "input": []}]', "0.input"),
    ],
)
def test_a_script_that_is_not_understood_is_answered_with_why(text, words):
    with pytest.raises(NotAScript, match=words.replace("(", r"\(")):
        parse_script(text)
    spoken = _spoken(Conversation(text).reply())
    assert spoken.startswith("The script is not understood: ")
    assert words in spoken


@pytest.mark.parametrize("text", ["script", "a script: none", "the script: {}", "[1]"])
def test_words_are_no_script(text):
    assert parse_script(text) is None


def test_times_counts_attempts_at_the_same_request():
    model = ScriptedModel()
    trouble = script({"error": "overloaded", "times": 1, "say": "now"})
    one = _request(_user(trouble))
    other = _request(_user(trouble), {"role": "assistant", "content": "x"}, _user(trouble))
    for request in (one, other):
        read_until_it_fails(model, request)
        assert isinstance(read(model, request)[-1], ReplyDone)


def test_without_times_every_attempt_fails():
    model, request = ScriptedModel(), _request(_user(script({"error": "failed"})))
    for _ in range(3):
        with pytest.raises(ModelError):
            read(model, request)


def test_tool_use_ids_are_told_by_the_transcript_and_by_nothing_else():
    talk = Conversation(script({"tool": "bash"}, {"tool": "bash"}))
    first = talk.reply()[0]["id"]
    marked = _request(_user({**talk.messages[0]["content"][0], **POINT}))
    again = [c.block for c in read(ScriptedModel(), marked) if isinstance(c, BlockDone)]
    assert again[0]["id"] == first
    talk.answer("x")
    assert talk.reply()[0]["id"] != first


# ---------------------------------------------------------------- free text
def test_a_first_message_is_met_with_a_piece_of_work():
    talk = Conversation("Do something.")
    blocks = talk.reply()
    ((tool, given),) = _uses(blocks)
    assert (tool, given["file_path"]) == ("write", "/workspace/machine.sh")
    assert given["content"].startswith("#!/bin/sh\n")
    assert "/workspace/machine.sh" in _spoken(blocks)
    talk.answer("written")
    assert _uses(talk.reply()) == [("bash", {"command": "sh /workspace/machine.sh"})]
    talk.answer("system: Plan 9\n")
    ((tool, given),) = _uses(talk.reply())
    assert (tool, given["file_path"]) == ("write", "/mnt/session/outputs/report.md")
    assert "system: Plan 9" in given["content"]
    talk.answer("written")
    blocks = talk.reply()
    assert _uses(blocks) == []
    assert "system: Plan 9" in _spoken(blocks)
    talk.messages.append(_user("thanks"))
    assert _spoken(talk.reply()) == "You said: thanks"


def test_the_report_goes_where_the_message_wants_it():
    talk = Conversation("Leave a short report in /workspace/notes/report.md.")
    talk.reply()
    talk.answer("written")
    talk.reply()
    talk.answer("output")
    assert _uses(talk.reply())[0][1]["file_path"] == "/workspace/notes/report.md"


def test_the_program_runs_where_there_is_a_shell(tmp_path):
    ((_, given),) = _uses(Conversation("Go.").reply())
    ran = subprocess.run(
        ["sh", "-c", given["content"]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"directory:  {tmp_path}" in ran.stdout
    assert "6 x 7:      42" in ran.stdout


def test_work_that_fails_is_reported_as_it_is():
    talk = Conversation("Do something.")
    talk.reply()
    talk.answer("no sandbox here", is_error=True)
    blocks = talk.reply()
    assert _uses(blocks) == []
    assert "no sandbox here" in _spoken(blocks)


@pytest.mark.parametrize("tools", [(), TOOLS[:1], TOOLS[1:]])
def test_without_the_tools_it_says_the_message_back(tools):
    talk = Conversation("hello there, model", tools)
    assert talk.reply() == [_text("You said: hello there, model")]


def test_a_message_without_text_is_answered_too():
    image = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
    chunks = read(ScriptedModel(), _request(_user(image), tools=()))
    assert isinstance(chunks[-1], ReplyDone)
    assert [c.text for c in chunks if isinstance(c, TextDelta)] != []


def test_content_may_be_a_string():
    request = _request({"role": "user", "content": "hello"}, tools=())
    assert BlockDone(0, _text("You said: hello")) in read(ScriptedModel(), request)


# ---------------------------------------------------------------- usage
def test_usage_tells_what_the_transcript_had_cached():
    """Before the last reply is read, from there to the last breakpoint written, the rest fresh."""
    opening = _request(_user(_text("a" * 400, **POINT)), tools=())
    first = usage_of(opening)
    assert first.cache_read_input_tokens == 0
    assert first.cache_creation_5m > 100
    reply = {"role": "assistant", "content": [_text("b" * 400)]}
    grown = replace(
        opening, messages=(*opening.messages, reply, _user(_text("c" * 400, **POINT), "d"))
    )
    second = usage_of(grown)
    assert second.cache_read_input_tokens == first.cache_creation_5m
    assert second.cache_creation_5m > 200
    assert 0 < second.input_tokens < 20
    assert usage_of(grown) == second


def test_output_is_counted_as_it_grows():
    seen = [
        chunk.usage.output_tokens
        for chunk in read(ScriptedModel(), _request(_user(script({"say": "x" * 400}))))
        if isinstance(chunk, UsageSeen)
    ]
    assert seen[0] == 1
    assert seen[-1] > 100
