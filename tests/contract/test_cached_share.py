"""A long session reads nearly all its input from the prompt cache, and a slip would show.

The double accounts by the rules that `freehold.testing.prompt_cache` cites. The faults are planted
between the engine and the adapter, one at a time.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from bench.cached_share import BOUND, measure
from freehold.domain.compaction import INSTRUCTION
from freehold.testing.messages_server import model_request
from freehold.testing.prompt_cache import segments

FALLEN = 0.90
TURNS = 30
POINT = {"type": "ephemeral"}


@pytest.fixture(scope="module")
def measured():
    return measure()


def prefix(recorded):
    """The bytes of a request up to its last breakpoint, as the cache reads them."""
    prompt = segments(model_request(recorded.json))
    last = max(n for n, part in enumerate(prompt) if part.ttl)
    return b"".join(part.data for part in prompt[: last + 1])


def head(recorded):
    """Tools and system."""
    given = recorded.json
    return recorded.prompt[: len(given["tools"]) + len(given["system"])]


def test_fifty_turns_with_tools_read_nearly_all_from_the_cache(measured):
    assert len(measured.requests) == 100
    assert {asked.status for asked in measured.requests} == {200}
    assert measured.share >= BOUND


def test_what_ends_at_a_breakpoint_begins_the_next_request_byte_for_byte(measured):
    for before, after in pairwise(measured.requests):
        assert b"".join(after.prompt).startswith(prefix(before))


def test_a_session_that_is_summarized_keeps_the_bound():
    """The request for a summary reads what the one before it wrote; the one behind it begins anew
    behind tools and system.
    """
    summarized = measure(window=40_000)
    asked = [INSTRUCTION.encode() in recorded.body for recorded in summarized.requests]
    assert sum(asked) >= 2
    assert summarized.share >= BOUND
    for (before, is_summary), (after, _) in pairwise(zip(summarized.requests, asked, strict=True)):
        wanted = b"".join(head(before)) if is_summary else prefix(before)
        assert b"".join(after.prompt).startswith(wanted)


def test_tools_and_system_are_the_same_bytes_in_every_request(measured):
    heads = {
        json.dumps([recorded.json["tools"], recorded.json["system"]])
        for recorded in measured.requests
    }
    assert len(heads) == 1


# ---------------------------------------------------------------- planted faults
def date(request, n):
    """The time of day, which is another one each time."""
    head = {**request.system[0], "text": f"It is 12:00:{n:02}. {request.system[0]['text']}"}
    return replace(request, system=(head, *request.system[1:]))


def order_of_tools(request, n):
    """As a set gives them, in a process of its own for each request."""
    tools = list(request.tools)
    random.Random(n).shuffle(tools)
    return replace(request, tools=tuple(tools))


def moved_breakpoint(request, n):
    """It stays at the first message, where it was once placed."""
    messages = [_unmarked(message) for message in request.messages]
    first = messages[0]["content"]
    marked = [*first[:-1], {**first[-1], "cache_control": POINT}]
    return replace(request, messages=({**messages[0], "content": marked}, *messages[1:]))


def counter_in_the_first_message(request, n):
    """What a reminder does that is refreshed in place."""
    messages = list(request.messages)
    content = [*messages[0]["content"]]
    content[0] = {**content[0], "text": f"{content[0]['text']}\n(asked {n} times)"}
    messages[0] = {**messages[0], "content": content}
    return replace(request, messages=tuple(messages))


def rewritten_result(request, n):
    """The oldest result is shortened a little more each time."""
    messages = list(request.messages)
    for at, message in enumerate(messages):
        block = message["content"][0]
        if message["role"] == "user" and block["type"] == "tool_result":
            text = {"type": "text", "text": f"[result of {n} requests ago]"}
            rest = message["content"][1:]
            messages[at] = {**message, "content": [{**block, "content": [text]}, *rest]}
            break
    return replace(request, messages=tuple(messages))


def forgotten_thinking(request, n):
    """Of every reply but the last, which must keep it."""
    replies = [at for at, message in enumerate(request.messages) if message["role"] == "assistant"]
    messages = list(request.messages)
    for at in replies[-3:-1]:
        kept = [b for b in messages[at]["content"] if b["type"] != "thinking"]
        messages[at] = {**messages[at], "content": kept}
    return replace(request, messages=tuple(messages))


def _unmarked(message):
    blocks = [{k: v for k, v in b.items() if k != "cache_control"} for b in message["content"]]
    return {**message, "content": blocks}


FAULTS = [
    date,
    order_of_tools,
    moved_breakpoint,
    counter_in_the_first_message,
    rewritten_result,
    forgotten_thinking,
]


def test_without_a_fault_the_shorter_session_keeps_the_bound_too():
    assert measure(TURNS).share >= BOUND


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_planted_fault_makes_the_share_fall(fault):
    done = measure(TURNS, fault)
    assert {asked.status for asked in done.requests} == {200}
    assert done.share < FALLEN
