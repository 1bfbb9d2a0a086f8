"""Conversations that outgrow the model's window: when they are shortened, what stays, what a turn
then reads.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from freehold.domain.compaction import INSTRUCTION, LEFT_OUT
from freehold.domain.transcript import messages_of
from freehold.engine.compaction import SUMMARY_TOKENS, reply_tokens, room_of
from freehold.errors import ModelError
from freehold.event_log import EventLog
from freehold.ports import BlockDone, BlockStarted, ReplyDone, Usage, UsageSeen
from freehold.settings import Settings
from freehold.testing.script import script
from freehold.testing.scripted_model import ScriptedModel
from freehold.toolset import ToolResult
from tests.protocol.sessions import POLICIES, asking_agent
from tests.unit.sessions import Bench, Failing

WINDOW = 12_000
COMPACTED = "agent.thread_context_compacted"


def small(tmp_path, *, web=None, agent=None, **settings):
    """A session with a model of a small window, which is refused where it is passed."""
    given = {"context_window": WINDOW, **settings}
    model = ScriptedModel(given["context_window"])
    bench = Bench(tmp_path, model=model, web=web, agent=agent, **given)
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


# ---------------------------------------------------------------- what stays
def texts(request):
    """Everything said in a request, turn by turn."""
    blocks = [b for m in request.messages for b in m["content"]]
    return [b["text"] for b in blocks if b.get("type") == "text"]


def ordered(words):
    return {"type": "system.message", "content": [{"type": "text", "text": words}]}


def test_what_an_operator_said_is_in_every_later_request(bench):
    bench.send(ordered("Be brief."))
    bench.say(script(*rounds(40)))
    bench.send(ordered("Be kind."))
    bench.say(script(*rounds(40)))
    assert bench.kinds().count(COMPACTED) >= 3
    said = [
        b["text"]
        for m in bench.model.requests[-1].messages
        if m["role"] == "system"
        for b in m["content"]
    ]
    assert said == ["Be brief.", "Be kind."]


class Then:
    """The model, and something that happens while the next summary or reply is being made."""

    def __init__(self, bench, act, *, at_summary=True):
        self._bench, self._act, self._at_summary = bench, act, at_summary
        self._inner, bench.model.model = bench.model.model, self

    def open(self, request):
        if is_summary(request) == self._at_summary:
            self._bench.model.model = self._inner
            self._act()
        return self._inner.open(request)


def test_a_message_that_arrives_during_the_summary_is_answered_once_after_it(bench):
    Then(bench, lambda: bench.say("What is new?", drain=False))
    bench.say(script(*rounds(20)))
    n = next(n for n, request in enumerate(bench.model.requests) if is_summary(request))
    assert "What is new?" not in texts(bench.model.requests[n])
    assert texts(bench.model.requests[n + 1]).count("What is new?") == 1
    assert "What is new?" in texts(bench.model.requests[-1])


def test_a_summary_is_not_the_end_of_a_turn_that_was_interrupted(bench):
    Then(bench, lambda: bench.send({"type": "user.interrupt"}))
    bench.say(script(*rounds(40)))
    assert COMPACTED not in bench.kinds()
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert bench.head.begins.version == 0
    bench.say("remember: the sky\n" + script({"say": "Here: {remembered}"}))
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert bench.kinds().count(COMPACTED) == 1
    assert said == ["Here: the sky"]


def test_a_call_that_waits_for_its_answer_is_answered_across_a_checkpoint(bench):
    elements = rounds(13)[:-1]
    waiting = {"tools": [{"tool": "write", "input": {"command": "w"}}, {"tool": "lookup"}]}
    bench.say(script(*elements, waiting, {"say": "All: {result}"}))
    assert COMPACTED not in bench.kinds()
    uses = [use.event_id for use in bench.head.uses]
    assert bench.head.status == "requires_action"
    bench.send({"type": "user.tool_confirmation", "tool_use_id": uses[0], "result": "allow"})
    answer = [{"type": "text", "text": "found it " + "y" * 5_000}]
    bench.send(
        {"type": "user.custom_tool_result", "custom_tool_use_id": uses[1], "content": answer}
    )
    bench.runs.drain(bench.app)
    assert bench.kinds().count(COMPACTED) == 1
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert "found it" in said[-1]
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


# ---------------------------------------------------------------- refusals
def errors(bench):
    return [event["error"] for event in bench.events if event["type"] == "session.error"]


def test_a_prompt_that_is_refused_as_too_long_is_summarized_and_sent_again(tmp_path):
    """The window is smaller than anybody said."""
    bench = Bench(tmp_path, model=ScriptedModel(WINDOW))
    bench.sandbox.execute = long_result
    bench.say("remember: the number is 17\n" + script(*rounds(30)))
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert errors(bench) == []
    assert bench.kinds().count(COMPACTED) >= 1
    failed = [e["is_error"] for e in bench.events if e["type"] == "span.model_request_end"]
    assert True in failed
    bench.judge()


def test_what_is_too_long_by_itself_is_withdrawn_and_the_session_goes_on(bench):
    bench.say(script({"say": "Hello."}))
    bench.say("z" * 60_000)
    (error,) = errors(bench)
    assert error["type"] == "compaction_limit_reached_error"
    assert error["retry_status"] == {"type": "exhausted"}
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}
    assert bench.kinds().count(COMPACTED) == 1
    bench.say(script({"say": "Still here."}))
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert len(errors(bench)) == 1


def test_a_first_message_that_is_too_long_is_refused_as_ever(bench):
    bench.say("z" * 60_000)
    (error,) = errors(bench)
    assert error["type"] == "model_request_failed_error"
    assert COMPACTED not in bench.kinds()


class Always:
    """A model that finds every prompt too long but those that ask for a summary."""

    def __init__(self, bench):
        self._inner, bench.model.model = bench.model.model, self

    def open(self, request):
        return self._inner.open(request) if is_summary(request) else TOO_LONG


TOO_LONG = Failing(
    ModelError(
        "model_request_failed", "prompt is too long", retryable=False, refused=True, too_long=True
    )
)


@pytest.mark.parametrize("most", [1, 2])
def test_summaries_in_a_row_have_a_limit(tmp_path, most):
    bench = small(tmp_path, max_compactions=most)
    bench.say(script(*rounds(6)))
    Always(bench)
    bench.say("And now?")
    assert bench.kinds().count(COMPACTED) == most
    (error,) = errors(bench)
    assert error["type"] == "compaction_limit_reached_error"
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}


def test_a_request_for_a_summary_that_is_too_long_is_made_without_results(tmp_path):
    bench = small(tmp_path)
    refused = []

    class Picky:
        def __init__(self, inner):
            self._inner = inner

        def open(self, request):
            if is_summary(request) and "xxxx" in json.dumps(request.messages):
                refused.append(request)
                return TOO_LONG
            return self._inner.open(request)

    bench.model.model = Picky(bench.model.model)
    bench.say(script(*rounds(20)))
    assert refused
    assert errors(bench) == []
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    bench.judge()


def test_a_model_that_calls_a_tool_instead_of_summarizing_is_asked_again(tmp_path):
    bench = small(tmp_path)

    class Stubborn:
        def __init__(self, inner):
            self._inner, self._times = inner, 2

        def open(self, request):
            if is_summary(request) and self._times:
                self._times -= 1
                asked = next(r for r in reversed(bench.model.requests) if not is_summary(r))
                return self._inner.open(replace(request, messages=asked.messages))
            return self._inner.open(request)

    bench.model.model = Stubborn(bench.model.model)
    bench.say(script(*rounds(20)))
    assert [e["retry_status"]["type"] for e in errors(bench)] == ["retrying"] * 2
    assert len(set(ids(bench, "agent.tool_use"))) == 20
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


class Never:
    """A model that answers every request but one for a summary; that it answers with `chunks`."""

    def __init__(self, bench, *chunks):
        self._chunks = chunks
        self._inner, bench.model.model = bench.model.model, self

    def open(self, request):
        return self if is_summary(request) else self._inner.open(request)

    def __iter__(self):
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self):
        pass


CALL = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "mine"}}
SPENT = Usage(input_tokens=5, output_tokens=1)


@pytest.mark.parametrize(
    ("chunks", "attempts"),
    [
        ((UsageSeen(SPENT), ReplyDone("refusal", SPENT)), 3),
        ((BlockStarted(0, "tool_use"), BlockDone(0, CALL), ReplyDone("tool_use", SPENT)), 3),
        ((ModelError("model_request_failed", "No.", retryable=False, refused=True),), 1),
    ],
    ids=["refuses", "calls a tool", "its provider refuses"],
)
def test_a_session_outlives_a_model_that_gives_no_summary(tmp_path, chunks, attempts):
    """As where what it is to summarize tells it not to."""
    bench = small(tmp_path)
    bench.send(ordered("Be brief."))
    Never(bench, *chunks)
    bench.say(script(*rounds(20)))
    summaries = [request for request in bench.model.requests if is_summary(request)]
    assert len(summaries) == attempts
    assert ["xxxx" in json.dumps(s.messages) for s in summaries] == [
        True,
        *[False] * (attempts - 1),
    ]
    last = errors(bench)[-1]
    assert last["type"] == "compaction_limit_reached_error"
    assert last["message"].endswith(LEFT_OUT)
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}
    assert bench.kinds().count(COMPACTED) == 1
    told = len(errors(bench))
    for n in range(3):
        bench.say(script({"say": f"Still here {n}."}))
        assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert len(errors(bench)) == told
    sent = bench.model.requests[-1].messages
    assert "no summary of it" in sent[0]["content"][0]["text"]
    assert [m["content"][0]["text"] for m in sent if m["role"] == "system"] == ["Be brief."]
    assert sum(b["type"] == "tool_result" for m in sent for b in m["content"]) == 1
    spent = sum(s["input_tokens"] for e in bench.entries for s in e.private.get("spent", ()))
    assert spent == bench.snapshot.session.input_tokens
    bench.judge()


def test_a_model_that_only_thought_about_a_summary_is_given_more_room(tmp_path):
    bench = small(tmp_path, context_window=60_000)
    bench.sandbox.execute = lambda *call: ToolResult.text("x" * 20_000)

    class Thinker:
        """It thinks for as long as a first summary may be."""

        def __init__(self, inner):
            self._inner = inner

        def open(self, request):
            if is_summary(request) and request.max_tokens <= SUMMARY_TOKENS:
                return self
            return self._inner.open(request)

        def __iter__(self):
            yield BlockStarted(0, "thinking")
            yield BlockDone(0, {"type": "thinking", "thinking": "Hm.", "signature": "s"})
            yield ReplyDone("max_tokens", SPENT)

        def close(self):
            pass

    bench.model.model = Thinker(bench.model.model)
    bench.say("remember: the number is 17\n" + script(*rounds(12)))
    assert [e["retry_status"]["type"] for e in errors(bench)] == ["retrying"]
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert said[-1] == "All done. the number is 17"


def ids(bench, kind):
    return [event["id"] for event in bench.events if event["type"] == kind]


# ---------------------------------------------------------------- results
def test_old_results_are_cleared_before_anything_is_summarized(tmp_path):
    bench = small(tmp_path, clear_tool_results=2_000)
    bench.say(script(*rounds(30)))
    assert not any(map(is_summary, bench.model.requests[:16]))
    cleared = [n for n, entry in enumerate(bench.entries) if "cleared" in entry.private]
    assert cleared
    assert bench.entries[cleared[0]].events[0]["type"] == COMPACTED
    request = bench.model.requests[-1]
    results = [
        b["content"][0]["text"]
        for m in request.messages
        for b in m["content"]
        if b["type"] == "tool_result"
    ]
    assert "xxxx" in results[-1]
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    bench.judge()


def test_the_prefix_stands_still_between_two_clearings(tmp_path):
    bench = small(tmp_path, clear_tool_results=2_000)
    bench.say(script(*rounds(40)))
    changes = sum(
        bare(after.messages)[: len(before.messages)] != bare(before.messages)
        for before, after in pairwise(bench.model.requests)
        if not is_summary(after)
    )
    assert 0 < changes <= bench.kinds().count(COMPACTED)


# ---------------------------------------------------------------- cost of age
class Counting:
    """The store, and how many items were read of it."""

    def __init__(self, records):
        self._records = records
        self.items = 0

    def __getattr__(self, name):
        return getattr(self._records, name)

    def get(self, keys):
        self.items += len(keys)
        return self._records.get(keys)

    def query(self, pk, **bounds):
        page = self._records.query(pk, **bounds)
        self.items += len(page.items)
        return page


def test_a_turn_of_an_old_session_reads_what_is_behind_the_checkpoint(tmp_path):
    bench = small(tmp_path)
    for _ in range(12):
        bench.say(script(*rounds(60)))
    assert len(bench.events) > 3_000
    counting = Counting(bench.records)
    log = EventLog(counting, bench.app.blobs, bench.app.secrets)
    app = replace(bench.app, records=counting, log=log)
    for _ in ("cold", "warm"):
        bench.say(script({"say": "Short."}), drain=False)
        entries = bench.entries
        checkpoints = (n for n, entry in enumerate(entries) if "checkpoint" in entry.private)
        since = sum(len(entry.events) for entry in entries[max(checkpoints) :])
        counting.items = 0
        bench.runs.drain(app)
        assert bench.events[-1]["type"] == "session.status_idle"
        assert 0 < counting.items <= 50 + since


def test_a_successor_goes_on_behind_the_checkpoint(tmp_path):
    bench = small(tmp_path, leg_turns=20)
    successors = []
    start = bench.runs.start
    bench.runs.start = lambda run: successors.append(run) or start(run)
    bench.say("remember: the number is 17\n" + script(*rounds(90)))
    assert [run.leg for run in successors] == list(range(len(successors)))
    assert len(successors) >= 5
    assert bench.kinds().count(COMPACTED) >= 3
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert said[-1] == "All done. the number is 17"


class Page:
    """A web of one page."""

    tools = ("web_fetch",)
    usage = Usage()

    def fetch(self, url, **rules):
        del url, rules
        return self

    def result(self):
        return ToolResult.text("the page")

    def close(self):
        pass


def test_a_url_that_was_shown_before_a_checkpoint_may_still_be_fetched(tmp_path):
    agent = asking_agent(policies={**POLICIES, "web_fetch": "always_allow"})
    bench = small(tmp_path, web=Page(), agent=agent)
    fetches = [
        {"tool": "web_fetch", "input": {"url": f"https://{host}/a"}}
        for host in ("shown.example", "hidden.example")
    ]
    bench.say("See shown.example/a " + script({"say": "I see."}))
    bench.say(script(*rounds(30)))
    assert bench.head.begins.version > 10
    asked = script({"tools": fetches}, {"say": "Done."})  # escaped, or it would show both itself
    bench.say(asked.replace("shown", "\\u0073hown").replace("hidden", "\\u0068idden"))
    shown, hidden = [e for e in bench.events if e["type"] == "agent.tool_result"][-2:]
    assert shown["content"] == [{"type": "text", "text": "the page"}]
    assert hidden["is_error"]


# ---------------------------------------------------------------- room
@pytest.mark.parametrize(
    ("model", "room", "reply"),
    [
        ("claude-opus-5", 800_000, 128_000),
        ("claude-opus-4-6", 800_000, 128_000),
        ("claude-sonnet-4-5-20250929", 136_000, 64_000),
        ("claude-opus-4-1", 160_000, 32_000),
        ("another-model", 160_000, 32_000),
    ],
)
def test_a_prompt_leaves_room_for_the_longest_reply(model, room, reply):
    assert room_of(Settings(), model).prompt == room
    assert reply_tokens(Settings(), model) == reply


def test_a_window_of_the_operators_counts_for_every_model(tmp_path):
    settings = Settings.from_environment(
        {"FREEHOLD_CONTEXT_WINDOW": "30000", "FREEHOLD_COMPACT_AT": "0.5"}
    )
    assert room_of(settings, "claude-opus-5").prompt == 15_000
    bench = Bench(tmp_path, context_window=30_000)
    bench.say("Hello.")
    assert bench.model.requests[-1].max_tokens == 10_000
