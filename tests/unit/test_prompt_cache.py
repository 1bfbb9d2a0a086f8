"""Prompt cache accounting, rule by rule, with a clock that stands still unless told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold.ports import ModelRequest
from freehold.testing.prompt_cache import PromptCache, least_tokens, segments, tokens
from tests.clocks import StandingClock

MODEL = "claude-opus-5"
POINT = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


@pytest.fixture
def clock():
    return StandingClock(0.0)


@pytest.fixture
def cache(clock):
    return PromptCache(clock)


def _block(name, size=4000, **more):
    return {"type": "text", "text": f"{name} {'x' * size}", **more}


def _request(*blocks, model=MODEL, system=(), tools=(), speed=None):
    message = {"role": "user", "content": list(blocks)}
    return ModelRequest(model, tuple(system), tuple(tools), (message,), speed=speed)


def _size(request, n=None):
    """Tokens of the first `n` blocks of a prompt."""
    return sum(tokens(part.data) for part in segments(request)[:n])


def test_what_ends_at_a_breakpoint_is_written_and_then_read(cache):
    request = _request(_block("a", **POINT), _block("b"))
    first, second = cache.use(request), cache.use(request)
    size = _size(request, 1)
    assert (first.cache_creation_5m, first.cache_read_input_tokens) == (size, 0)
    assert (second.cache_creation_5m, second.cache_read_input_tokens) == (0, size)
    assert first.input_tokens == second.input_tokens == _size(request) - size > 0


def test_without_a_breakpoint_nothing_is_cached(cache):
    request = _request(_block("a"))
    cache.use(request)
    again = cache.use(request)
    assert (again.cache_read_input_tokens, again.input_tokens) == (0, _size(request))


def test_an_earlier_breakpoint_is_found_behind_a_later_one(cache):
    """The conversation grows: what the last request wrote is read, the rest is written."""
    cache.use(_request(_block("a"), _block("b", **POINT)))
    grown = _request(_block("a"), _block("b"), _block("c"), _block("d", **POINT))
    usage = cache.use(grown)
    assert usage.cache_read_input_tokens == _size(grown, 2)
    assert usage.cache_creation_5m == _size(grown) - _size(grown, 2)


@pytest.mark.parametrize(("between", "is_found"), [(19, True), (20, False)])
def test_a_breakpoint_looks_back_twenty_blocks(cache, between, is_found):
    cache.use(_request(_block("a", **POINT)))
    more = [_block(str(n), 10) for n in range(between - 1)]
    usage = cache.use(_request(_block("a"), *more, _block("z", **POINT)))
    assert (usage.cache_read_input_tokens > 0) is is_found


def test_any_change_before_the_breakpoint_is_a_miss(cache):
    point = _block("end", **POINT)
    cache.use(_request(_block("a"), point, system=[_block("s")], tools=[{"name": "t"}]))
    for other in (
        _request(_block("A"), point, system=[_block("s")], tools=[{"name": "t"}]),
        _request(_block("a"), point, system=[_block("S")], tools=[{"name": "t"}]),
        _request(_block("a"), point, system=[_block("s")], tools=[{"name": "u"}]),
        _request(_block("a"), point, system=[_block("s")], tools=[{"name": "t"}], speed="fast"),
        _request(
            _block("a"), point, system=[_block("s")], tools=[{"name": "t"}], model="claude-fable-5"
        ),
    ):
        assert cache.use(other).cache_read_input_tokens == 0


def test_tools_and_system_come_before_the_messages(cache):
    tools, system = [{"name": "t", "description": "x" * 4000}], [_block("s", **POINT)]
    cache.use(_request(_block("a"), tools=tools, system=system))
    other = _request(_block("b"), tools=tools, system=system)
    assert cache.use(other).cache_read_input_tokens == _size(other, 2)


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("claude-opus-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-haiku-4-5-20251001", 4096),
    ],
)
def test_a_short_prompt_is_not_cached(cache, model, least):
    assert least_tokens(model) == least
    base = tokens(segments(_request(_block("a", 0)))[0].data)
    short = _request(_block("a", 4 * (least - base) - 4, **POINT), model=model)
    long = _request(_block("a", 4 * (least - base) + 4, **POINT), model=model)
    for request, is_cached in ((short, False), (long, True)):
        cache.use(request)
        assert (cache.use(request).cache_read_input_tokens > 0) is is_cached


def test_an_entry_lives_five_minutes_from_its_last_use(cache, clock):
    request = _request(_block("a", **POINT))
    cache.use(request)
    for _ in range(3):
        clock.at += 299
        assert cache.use(request).cache_read_input_tokens
    clock.at += 300
    assert not cache.use(request).cache_read_input_tokens


def test_an_entry_of_an_hour_is_counted_apart(cache, clock):
    request = _request(_block("a", **HOUR), _block("b", **POINT))
    first = cache.use(request)
    assert first.cache_creation_1h == _size(request, 1)
    assert first.cache_creation_5m == _size(request) - _size(request, 1)
    clock.at += 3599
    later = cache.use(request)
    assert later.cache_read_input_tokens == _size(request, 1)
    assert later.cache_creation_5m == first.cache_creation_5m
    clock.at += 3600
    assert not cache.use(request).cache_read_input_tokens


def test_a_breakpoint_is_no_part_of_the_prompt():
    plain, marked = _request(_block("a")), _request(_block("a", **POINT))
    assert [part.data for part in segments(plain)] == [part.data for part in segments(marked)]


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}


@pytest.mark.parametrize("other", ["parameters", "effort", "an image"])
def test_what_is_asked_of_the_messages_alone_leaves_tools_and_system_valid(cache, other):
    tools, system = [{"name": "t", "description": "x" * 4000}], [_block("s", **POINT)]
    cache.use(_request(_block("a", **POINT), tools=tools, system=system))
    blocks = [_block("a", **POINT), *([IMAGE] if other == "an image" else [])]
    changed = replace(
        _request(*blocks, tools=tools, system=system), effort="low" if other == "effort" else None
    )
    usage = cache.use(changed, "tool_choice" if other == "parameters" else "")
    assert usage.cache_read_input_tokens == _size(changed, 2)


def test_a_further_image_invalidates_nothing(cache):
    cache.use(_request(IMAGE, _block("a", **POINT)))
    again = _request(IMAGE, _block("a"), IMAGE, _block("b", **POINT))
    assert cache.use(again).cache_read_input_tokens == _size(again, 2)
