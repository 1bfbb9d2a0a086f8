"""When a conversation is shortened, where it is cut, and the transactions that do it (ADR 0011).

The model is asked for a summary of what it has answered; what it has not, and the replies just
before that, stay as they are. The cut is in front of a reply, so that no call loses its result.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain import accounting, lifecycle
from freehold.domain.checkpoint import (
    CHECKPOINT,
    CLEARED,
    Checkpoint,
    cleared_before,
    latest_checkpoint,
)
from freehold.domain.draft import Draft
from freehold.domain.entry import Entry, Place
from freehold.domain.session import Head
from freehold.domain.step import PAUSED, Failure, Limits, Next, Summary, after, fenced
from freehold.domain.transcript import Conversation
from freehold.errors import NoSummary
from freehold.ports import Run
from freehold.toolset import Json, JsonObject
from freehold.wire.events import AgentThreadContextCompactedEvent, SessionEndTurn

KEPT_REPLIES = 8
"""That stay word for word at most, so that a turn behind a checkpoint reads few items."""
KEPT_SHARE, OPERATOR_SHARE, LEAST_SHARE = 4, 8, 8
"""Parts of the room that the kept replies and an operator's words may fill, and that the first
summary in a row must free."""
_BYTES_PER_TOKEN = 4
_TOKENS_OF_IMAGE = 5_000
_READ = {"user.message", "system.message", "agent.thread_message_received"}

INSTRUCTION = (
    "The conversation is about to exceed what you can take in. Write a summary from which you can "
    "go on without it: it will stand in the place of everything before the latest messages, which "
    "stay as they are. Keep what was asked for and what is still to be done, instructions and "
    "preferences of the user and the operator, decisions and why they were made, facts, names, "
    "numbers, paths and URLs that may be needed, files written and programs run with what came of "
    "them, errors and how they were overcome, and the exact state of the work. Answer with the "
    "summary alone, as text. Do not call a tool."
)
_PREAMBLE = "This is the summary of an earlier part of this conversation, which was left out:"
_LOST = "An earlier part of this conversation was left out, and there is no summary of it."
LEFT_OUT = "What came before its last reply is left out of the conversation."
"""Ends the message of an error after which it is so."""


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens: above `prompt` a conversation is shortened. `keep_results`: of the newest results,
    where others are cleared first; None where none are.
    """

    prompt: int
    keep_results: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a decision on the conversation rests on: its commits, from where its head begins, and
    the room there is for it.
    """

    entries: Sequence[Entry]
    room: Room


# ---------------------------------------------------------------- when
def is_due(draft: Draft, head: Head, reading: Reading) -> bool:
    """Whether the next request would leave no room for its reply, and a summary would make some.

    Until a reply has been measured after one, only the model's own word counts.
    """
    if head.is_full:
        return _cut(reading, head) is not None
    if not head.context or PAUSED in head.taken or _size(draft, head, reading) <= _most(reading):
        return False
    cut = _cut(reading, head)
    return cut is not None and _frees(reading, cut) * LEAST_SHARE >= _most(reading)


def makes_room(
    draft: Draft, head: Head, failure: Failure, limits: Limits, reading: Reading | None
) -> bool:
    """After a prompt that was too long: asks for a summary next, where one can be made and there
    were not too many already.
    """
    if not failure.error.too_long or reading is None:
        return False
    made = head.compactions + failure.of_summary
    draft.set(head.thread_id, compactions=made)
    if made >= limits.max_compactions or _cut(reading, draft.heads[head.thread_id]) is None:
        return False
    draft.set(head.thread_id, is_full=True)
    return True


def leaves_out(
    draft: Draft, head: Head, failure: Failure, limits: Limits, reading: Reading | None
) -> bool:
    """Whether no summary is to be had: what it would have stood for is left out then, or every
    later message would ask for it in vain. The next attempt is made without the results of tools.
    """
    error = failure.error
    if not failure.of_summary or reading is None:
        return False
    if not error.refused and not isinstance(error, NoSummary):
        return False
    made = head.compactions + 1
    draft.set(head.thread_id, compactions=made)
    is_last = made >= limits.max_compactions or head.retries >= limits.max_retries
    if is_last or error.refused:
        _shorten(draft, draft.heads[head.thread_id], reading, _LOST)
        return True
    return False


def _most(reading: Reading) -> int:
    return reading.room.prompt


def _size(draft: Draft, head: Head, reading: Reading) -> int:
    """Tokens of the next request, about: the last one and its reply, and what came since."""
    unread: dict[str, JsonObject] = dict(draft.inputs)
    for entry in reversed(reading.entries):
        for event in entry.events:
            if event["type"] in _READ or str(event["type"]).endswith("tool_result"):
                unread[str(event["id"])] = event
        if "reply" in entry.private:
            break
    return head.context + sum(_tokens(event.get("content")) for event in unread.values())


def _tokens(content: Json) -> int:
    """About."""
    if isinstance(content, list):
        return sum(_tokens(part) for part in content)
    if isinstance(content, dict) and content.get("type") == "image":
        return _TOKENS_OF_IMAGE
    return len(json.dumps(content, ensure_ascii=False).encode()) // _BYTES_PER_TOKEN


# ---------------------------------------------------------------- where
def _cut(reading: Reading, head: Head) -> int | None:
    """The version of the commit whose reply is the first to stay; None where nothing can go.

    After a summary that was not enough, only the last reply stays.
    """
    checkpoint = latest_checkpoint(reading.entries)
    before = checkpoint.cut if checkpoint else -1
    replies = [r.version for r in Conversation.of(reading.entries).replies if r.version > before]
    if not replies:
        return None
    kept = replies[-1:]
    if not head.compactions:
        most = _most(reading) // KEPT_SHARE
        fitting = (v for v in replies[-KEPT_REPLIES:] if _weight(reading, v) <= most)
        kept = [*fitting, *kept]
    return kept[0]


def _weight(reading: Reading, since: int, until: int | None = None) -> int:
    """Tokens of the commits of these versions, about and rather too many."""
    sizes = (
        entry.size
        for entry in reading.entries
        if entry.version >= since and (until is None or entry.version < until)
    )
    return sum(sizes) // _BYTES_PER_TOKEN


def _frees(reading: Reading, cut: int) -> int:
    checkpoint = latest_checkpoint(reading.entries)
    return _weight(reading, checkpoint.cut if checkpoint else 0, cut)


def closed_conversation(reading: Reading, *, is_repeated: bool) -> list[JsonObject]:
    """What a summary is asked of: the last request once more, with its reply if that needs no
    answer, and the instruction. So all of it is read from the cache.

    `is_repeated`: one was not enough, or too long itself; the results of tools are left out of it.
    """
    last = Conversation.of(reading.entries).replies[-1]
    upto = last.version if last.is_open else last.version + 1
    cleared = upto if is_repeated else 0
    messages = Conversation.of(reading.entries, upto=upto, cleared=cleared).finish()
    return _asked_for_summary(messages)


def _asked_for_summary(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """The instruction ends the last user turn; what an operator said behind that stays there."""
    asked: JsonObject = {"type": "text", "text": INSTRUCTION}
    found = [*messages]
    users = [n for n, message in enumerate(found) if message["role"] == "user"]
    if found[-1]["role"] == "assistant":
        return [*found, {"role": "user", "content": [asked]}]
    content = found[users[-1]]["content"]
    assert isinstance(content, list)
    found[users[-1]] = {"role": "user", "content": [*content, asked]}
    return found


def _operator(reading: Reading, cut: int) -> tuple[JsonObject, ...]:
    """What an operator said before the cut, the newest of it that has room; each text once."""
    said = [block for at, block in Conversation.of(reading.entries).operator if at < cut]
    left = _most(reading) * _BYTES_PER_TOKEN // OPERATOR_SHARE
    kept: list[JsonObject] = []
    for block in reversed(said):
        left -= len(str(block.get("text")).encode())
        if left >= 0 and block not in kept:
            kept.insert(0, block)
    return tuple(kept)


def _begin(reading: Reading, head: Head, cut: int) -> Place:
    """The first commit that a reader needs: of the cut, or one before it with an event that is
    taken in behind it.
    """
    behind = [entry for entry in reading.entries if entry.version >= cut]
    taken_in: set[str] = {pending.event_id for pending in head.pending}
    for entry in behind:
        consumed = entry.private.get("consumed")
        taken_in.update(map(str, consumed) if isinstance(consumed, list) else ())
    needed = (
        entry.place
        for entry in reading.entries
        if entry.version >= cut or any(event["id"] in taken_in for event in entry.events)
    )
    return next(needed)


# ---------------------------------------------------------------- transactions
def clear_results(draft: Draft, head: Head, reading: Reading) -> bool:
    """Clears old results where the policy asks for it and that makes enough room; False otherwise.
    Nothing changes before the next time, so that the prefix is stable.
    """
    keep = reading.room.keep_results
    if keep is None or head.is_full:
        return False
    version, freed = _clearable(reading, keep)
    if not freed or _size(draft, head, reading) - freed > _most(reading) * 3 // 4:
        return False
    draft.emit(head.thread_id, AgentThreadContextCompactedEvent)
    draft.note(head.thread_id, CLEARED, version)
    draft.set(head.thread_id, context=max(1, head.context - freed))
    return True


def _clearable(reading: Reading, keep: int) -> tuple[int, int]:
    """The version before which results can go, and the tokens that frees. What the model has not
    read stays.
    """
    checkpoint = latest_checkpoint(reading.entries)
    begin = max(checkpoint.cut if checkpoint else 0, cleared_before(reading.entries))
    last = Conversation.of(reading.entries).replies[-1].version
    version, freed = 0, 0
    for entry in reversed(reading.entries):
        results = [e for e in entry.events if str(e["type"]).endswith("tool_result")]
        size = sum(_tokens(event.get("content")) for event in results)
        keep -= size
        if keep < 0 and begin <= entry.version < last:
            version, freed = max(version, entry.version + 1), freed + size
    return version, freed


def finish_summary(
    draft: Draft, run: Run, holder: str, summary: Summary, limits: Limits, reading: Reading
) -> Next:
    """The checkpoint enters the log, and a next request begins with it."""
    if not fenced(draft, run, holder):
        return "taken"
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    accounting.book_request(draft, thread_id, accounting.Spent(summary.usage, summary.cost))
    if lifecycle.is_interrupted(draft.session, head):
        return lifecycle.stop_turn(draft, thread_id)
    lifecycle.close_span(draft, thread_id, summary.usage)
    _shorten(draft, head, reading, f"{_PREAMBLE}\n\n{summary.text}")
    draft.set(thread_id, compactions=head.compactions + 1, turns=head.turns + 1, retries=0)
    return after(draft, run, limits, SessionEndTurn())


def _shorten(draft: Draft, head: Head, reading: Reading, text: str) -> None:
    """The checkpoint: `text` stands for what is before the cut."""
    cut = _cut(reading, head)
    assert cut is not None, "a summary of nothing"
    checkpoint = Checkpoint(text, cut, _operator(reading, cut))
    draft.emit(head.thread_id, AgentThreadContextCompactedEvent)
    draft.note(head.thread_id, CHECKPOINT, checkpoint.to_private())
    begins = _begin(reading, head, cut)
    draft.set(head.thread_id, context=0, is_full=False, begins=begins)
