"""What every `Model` must do, as a program: run each check of `CONTRACT` on a model of yours.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, model):
        check(model)

The model must answer scripts (`freehold.testing.script`): the scripted model does, and so does any
adapter in front of the Messages API double.

Not promised, and not asked: where text is divided into deltas, how tokens are counted, how soon
`close` ends a connection that is still being opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

from freehold.errors import ModelError, ModelStopped
from freehold.ports import (
    BlockDone,
    BlockStarted,
    Chunk,
    Model,
    ModelRequest,
    OpenReply,
    ReplyDone,
    TextDelta,
    UsageSeen,
)
from freehold.testing.script import FAILURES, script
from freehold.toolset import Json, JsonObject

Check = Callable[[Model], None]

MODEL = "claude-sonnet-5-5"
TOOL: JsonObject = {"name": "bash", "description": "Runs it.", "input_schema": {"type": "object"}}
_PATIENCE = 10.0


def said(role: str, *blocks: JsonObject) -> JsonObject:
    """A message."""
    return {"role": role, "content": list(blocks)}


def text(content: str) -> JsonObject:
    return {"type": "text", "text": content}


def request_for(*elements: JsonObject) -> ModelRequest:
    """A conversation that begins with this script."""
    return request_of([said("user", text(script(*elements)))])


def request_of(messages: Sequence[JsonObject]) -> ModelRequest:
    return ModelRequest(MODEL, (text("Be brief."),), (TOOL,), tuple(messages))


def blocks_of(chunks: Sequence[Chunk]) -> list[JsonObject]:
    return [chunk.block for chunk in chunks if isinstance(chunk, BlockDone)]


def end_of(chunks: Sequence[Chunk]) -> ReplyDone:
    last = chunks[-1]
    assert isinstance(last, ReplyDone)
    return last


def read(model: Model, request: ModelRequest) -> list[Chunk]:
    """The whole reply."""
    return list(model.open(request))


def read_until_it_fails(model: Model, request: ModelRequest) -> tuple[list[Chunk], ModelError]:
    """What came of a reply, and the error it ended with."""
    chunks: list[Chunk] = []
    try:
        chunks.extend(model.open(request))  # keeps what came before the error
    except ModelError as error:
        return chunks, error
    raise AssertionError("the reply did not fail")


# ---------------------------------------------------------------- replies
def chunks_come_in_order(model: Model) -> None:
    """A block opens, grows and closes before the next opens; indexes count from 0."""
    uses: list[Json] = [{"tool": "bash", "input": {"command": "ls"}}, {"tool": "bash"}]
    element: JsonObject = {"think": "hm hm", "say": ["one two three four", "five"], "tools": uses}
    chunks = read(model, request_for(element))
    opened: list[str] = []
    current: int | None = None
    for chunk in chunks:
        if isinstance(chunk, BlockStarted):
            assert (current, chunk.index) == (None, len(opened))
            current = chunk.index
            opened.append(chunk.type)
        elif isinstance(chunk, TextDelta | BlockDone):
            assert chunk.index == current
            if isinstance(chunk, BlockDone):
                assert chunk.block["type"] == opened[chunk.index]
                current = None
    assert opened == ["thinking", "text", "text", "tool_use", "tool_use"]
    assert [isinstance(chunk, ReplyDone) for chunk in chunks].index(True) == len(chunks) - 1
    assert end_of(chunks).stop_reason == "tool_use"


def text_comes_in_deltas(model: Model) -> None:
    """Together they are the block's text; only text comes in deltas."""
    spoken = "Grüße — one\ntwo  three \U0001f600 four five six"
    chunks = read(model, request_for({"think": "not shown", "say": spoken, "tool": "bash"}))
    deltas = [chunk for chunk in chunks if isinstance(chunk, TextDelta)]
    assert "".join(delta.text for delta in deltas) == spoken
    assert len(deltas) > 1
    assert all(delta.text for delta in deltas)
    assert text(spoken) in blocks_of(chunks)


def thinking_is_signed(model: Model) -> None:
    blocks = blocks_of(read(model, request_for({"think": "a thought", "redacted": True})))
    assert [block["type"] for block in blocks] == ["thinking", "redacted_thinking"]
    assert blocks[0]["thinking"] == "a thought"
    assert blocks[0]["signature"]
    assert blocks[1]["data"]


def tool_uses_carry_their_input(model: Model) -> None:
    """As it was given, in value and in type."""
    inputs: list[Json] = [
        {"command": 'echo "Ä\\n" \U0001f600', "n": [1, 2.5, None, True, {"deep": [[]]}]},
        {},
    ]
    uses: list[Json] = [{"tool": "bash", "input": given} for given in inputs]
    blocks = blocks_of(read(model, request_for({"tools": uses})))
    assert [block["input"] for block in blocks] == inputs
    assert [block["name"] for block in blocks] == ["bash", "bash"]
    assert len({str(block["id"]) for block in blocks}) == len(blocks)


def a_conversation_goes_on(model: Model) -> None:
    """Blocks are taken back as they came, and what the tools answered is heard."""
    request = request_for(
        {"think": "first", "say": "Looking.", "tool": "bash", "input": {"command": "ls"}},
        {"think": "second", "tool": "bash", "input": {"command": "pwd"}},
        {"say": "It is {result}"},
    )
    for answer in ("a.txt", "/workspace"):
        blocks = blocks_of(read(model, request))
        results: list[JsonObject] = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": [text(answer)]}
            for block in blocks
            if block["type"] == "tool_use"
        ]
        turn = (said("assistant", *blocks), said("user", *results))
        request = request_of([*request.messages, *turn])
    chunks = read(model, request)
    assert blocks_of(chunks) == [text("It is /workspace")]
    assert end_of(chunks).stop_reason == "end_turn"


def stop_reasons_are_the_api_s(model: Model) -> None:
    for reason in ("end_turn", "max_tokens", "pause_turn", "model_context_window_exceeded"):
        chunks = read(model, request_for({"say": "so far", "stop_reason": reason}))
        assert end_of(chunks).stop_reason == reason
        assert end_of(chunks).stop_details is None


def a_refusal_has_details(model: Model) -> None:
    """And may hold no block at all."""
    done = end_of(read(model, request_for({"refuse": {"category": "cyber", "explanation": "No."}})))
    assert done.stop_reason == "refusal"
    assert done.stop_details == {"type": "refusal", "category": "cyber", "explanation": "No."}


def usage_is_metered(model: Model) -> None:
    """The input is known before the first block; the last count is the reply's."""
    chunks = read(model, request_for({"say": "a few words of an answer"}))
    seen = [chunk.usage for chunk in chunks if isinstance(chunk, UsageSeen)]
    done = end_of(chunks).usage
    assert isinstance(chunks[0], UsageSeen)
    assert seen[-1] == done
    assert seen[0].input_tokens == done.input_tokens > 0
    assert seen[0].output_tokens < done.output_tokens


def the_same_request_gets_the_same_reply(model: Model) -> None:
    """As far as the reply is told apart by its blocks: a repeat after a crash changes nothing."""
    request = request_for({"think": "t", "say": "s", "tools": [{"tool": "bash"}, {"tool": "bash"}]})
    assert blocks_of(read(model, request)) == blocks_of(read(model, request))


def max_tokens_may_be_given(model: Model) -> None:
    given = request_for({"say": "short"})
    limited = ModelRequest(MODEL, given.system, given.tools, given.messages, max_tokens=1000)
    assert blocks_of(read(model, limited)) == [text("short")]


def replies_do_not_mix(model: Model) -> None:
    """Many threads, a reply each, two for the first one at the same time."""
    names = [f"the answer for number {n} and nobody else" for n in range(8)]
    one, other = (iter(model.open(request_for({"say": name}))) for name in names[:2])
    next(one)
    next(other)
    with ThreadPoolExecutor(len(names)) as pool:
        found = pool.map(lambda name: read(model, request_for({"say": name})), names)
        assert [blocks_of(chunks) for chunks in found] == [[text(name)] for name in names]
    assert blocks_of(list(one)) == [text(names[0])]
    assert blocks_of(list(other)) == [text(names[1])]


# ---------------------------------------------------------------- failures
def failures_have_a_kind(model: Model) -> None:
    """`open` itself never fails. The message is one line."""
    for name, failure in FAILURES.items():
        chunks, error = read_until_it_fails(model, request_for({"error": name}))
        assert chunks == []
        assert (error.kind, error.retryable) == (failure.kind, failure.retryable), name
        assert error.message, name
        assert "\n" not in error.message


def retry_after_is_passed_on(model: Model) -> None:
    _, error = read_until_it_fails(model, request_for({"error": "rate_limited", "retry_after": 7}))
    assert error.retry_after == 7.0  # noqa: PLR2004 - what the script said
    _, error = read_until_it_fails(model, request_for({"error": "rate_limited"}))
    assert error.retry_after is None


def an_incomplete_block_is_dropped(model: Model) -> None:
    """A reply that is cut off fails, and can be asked for again; what was metered is known."""
    request = request_for({"say": ["complete", "this one is cut in the middle"], "cut": True})
    chunks, error = read_until_it_fails(model, request)
    assert (error.kind, error.retryable) == ("model_request_failed", True)
    assert blocks_of(chunks) == [text("complete")]
    assert isinstance(chunks[0], UsageSeen)
    assert [chunk.index for chunk in chunks if isinstance(chunk, BlockStarted)] == [0, 1]


def a_repeat_can_succeed(model: Model) -> None:
    for trouble in ({"error": "overloaded"}, {"cut": True}):
        request = request_for({**trouble, "times": 2, "say": f"at last, after {trouble}"})
        for _ in range(2):
            _, error = read_until_it_fails(model, request)
            assert error.retryable
        assert end_of(read(model, request)).stop_reason == "end_turn"


# ---------------------------------------------------------------- close
def stops(reply: OpenReply) -> bool:
    """Whether the rest of this reply is ModelStopped."""
    try:
        for _ in reply:
            pass
    except ModelStopped:
        return True
    return False


def a_closed_reply_stops(model: Model) -> None:
    """Before the first chunk and between two, however often it is closed."""
    unread = model.open(request_for({"say": "never"}))
    unread.close()
    unread.close()
    assert stops(unread)
    begun = model.open(request_for({"say": "one two three four five six seven eight"}))
    try:
        for chunk in begun:
            assert not isinstance(chunk, ReplyDone)
            begun.close()
    except ModelStopped:
        return
    raise AssertionError("the reply went on after close")


def close_after_the_end_is_nothing(model: Model) -> None:
    reply = model.open(request_for({"say": "done"}))
    assert isinstance(list(reply)[-1], ReplyDone)
    reply.close()
    reply.close()
    assert end_of(read(model, request_for({"say": "still there"}))).stop_reason == "end_turn"


def close_wakes_a_blocked_reader(model: Model) -> None:
    """From another thread, while nothing comes."""
    reply = model.open(request_for({"say": "after an hour", "delay_ms": 3_600_000}))
    begun, stopped = Event(), Event()

    def read_on() -> None:
        try:
            for _ in reply:
                begun.set()
        except ModelStopped:
            stopped.set()

    reader = Thread(target=read_on, daemon=True)
    reader.start()
    assert begun.wait(_PATIENCE)
    assert not stopped.is_set()
    reply.close()
    reader.join(_PATIENCE)
    assert stopped.is_set()


CONTRACT: tuple[Check, ...] = (
    chunks_come_in_order,
    text_comes_in_deltas,
    thinking_is_signed,
    tool_uses_carry_their_input,
    a_conversation_goes_on,
    stop_reasons_are_the_api_s,
    a_refusal_has_details,
    usage_is_metered,
    the_same_request_gets_the_same_reply,
    max_tokens_may_be_given,
    replies_do_not_mix,
    failures_have_a_kind,
    retry_after_is_passed_on,
    an_incomplete_block_is_dropped,
    a_repeat_can_succeed,
    a_closed_reply_stops,
    close_after_the_end_is_nothing,
    close_wakes_a_blocked_reader,
)
