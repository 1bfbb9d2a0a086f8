"""Where breakpoints stand, judged by the rules of the prompt cache alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from freehold.domain.cache_points import with_cache_points
from freehold.ports import ModelRequest
from freehold.testing.prompt_cache import PromptCache, segments

MODEL = "claude-opus-5"
SYSTEM = [{"type": "text", "text": "You are careful. " * 200}]
TOOLS = [{"name": "bash", "description": "x" * 900, "input_schema": {"type": "object"}}]


def said(text):
    return {"type": "text", "text": text + " word" * 40}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def reply(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def round_of(name, calls):
    """A reply with so many calls, and the turn that answers them."""
    ids = [f"{name}_{n}" for n in range(calls)]
    uses = [{"type": "tool_use", "id": i, "name": "bash", "input": {}} for i in ids]
    results = [{"type": "tool_result", "tool_use_id": i, "content": [said(i)]} for i in ids]
    return [reply({"type": "thinking", "thinking": "?", "signature": "s"}, *uses), user(*results)]


def request(messages, ttl="5m", system=SYSTEM, tools=TOOLS):
    marked = with_cache_points(system, tools, messages, ttl)
    return ModelRequest(MODEL, *marked)


def points(found):
    return [part for part in segments(found) if part.ttl]


@pytest.fixture
def cache():
    return PromptCache(lambda: 0.0)


@pytest.mark.parametrize("calls", [1, 9, 19, 20, 21, 40, 64, 200])
def test_a_round_of_any_number_of_calls_reads_all_that_was_written_before_it(cache, calls):
    messages = [user(said("Go."))]
    requests = [request(messages)]
    for name in "abcd":
        messages = [*messages, *round_of(name, calls)]
        requests.append(request(messages))
    used = [cache.use(found) for found in requests]
    for before, after in pairwise(used):
        written = before.cache_read_input_tokens + before.cache_creation_5m
        assert after.cache_read_input_tokens == written > 0
    assert all(usage.input_tokens == 0 for usage in used)


@pytest.mark.parametrize(("more", "is_found"), [(1, True), (19, True), (39, True), (60, False)])
@pytest.mark.parametrize("earlier", [0, 1])
def test_a_turn_that_grew_since_its_request_died_is_found_in_its_shorter_form(
    cache, more, is_found, earlier
):
    """39 more blocks are what two breakpoints see; of more, what was before the turn is read."""
    messages = [m for n in range(earlier) for m in (user(said(f"{n}")), reply(said("Yes.")))]
    asked = request([*messages, user(*[said(f"a{n}") for n in range(30)])])
    first = cache.use(asked)
    grown = user(*[said(f"a{n}") for n in range(30)], *[said(f"b{n}") for n in range(more)])
    usage = cache.use(request([*messages, grown]))
    written = first.cache_creation_5m
    assert (usage.cache_read_input_tokens == written) is is_found
    assert 0 < usage.cache_read_input_tokens <= written


@pytest.mark.parametrize("blocks", [1, 20, 21, 100])
def test_there_are_four_breakpoints_at_most_and_none_on_thinking(blocks):
    thoughts = [{"type": "thinking", "thinking": f"{n}", "signature": "s"} for n in range(blocks)]
    messages = [user(said("a")), reply(*thoughts, said("b")), user(said("c"))]
    found = points(request(messages))
    assert 3 <= len(found) <= 4
    assert not [part for part in found if b'"thinking"' in part.data]


def test_without_a_system_prompt_the_tools_end_at_a_breakpoint():
    found = request([user(said("a"))], system=[])
    assert "cache_control" in found.tools[-1]
    assert len(points(found)) == 2
    assert len(points(request([user(said("a"))], system=[], tools=[]))) == 1


def test_breakpoints_change_nothing_that_is_given():
    messages = [user(said("a"))]
    before = repr((SYSTEM, TOOLS, messages))
    request(messages)
    assert repr((SYSTEM, TOOLS, messages)) == before


def test_an_hour_is_asked_for_at_every_breakpoint_or_none(cache):
    """The API refuses an hour behind five minutes."""
    found = request([user(said("a")), reply(said("b")), user(said("c"))], ttl="1h")
    assert [part.ttl for part in points(found)] == ["1h"] * 3
    usage = cache.use(found)
    assert usage.cache_creation_1h > 0 == usage.cache_creation_5m
