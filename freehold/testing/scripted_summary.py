"""What the scripted model says when it is asked for a summary, and how it goes on from one.

A summary repeats every `remember: ...` that a user or an operator said, and the script that is
being played. What is due of it then is found by what the kept replies say, so that the elements
of a script that is to survive a summary must differ.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from freehold.domain.compaction import INSTRUCTION
from freehold.testing.script import Element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freehold.toolset import JsonObject

_REMEMBER = re.compile(r"remember: ([^\n\"]+)")
_SUMMARY = "Summary after "
_REPLIES = re.compile(rf"{_SUMMARY}(\d+) replies")


def is_asked_for(text: str) -> bool:
    """Whether these are the words that ask for a summary."""
    return text == INSTRUCTION


def remembered(texts: Iterable[str]) -> list[str]:
    """What the texts ask to remember, each once, in order."""
    return list(dict.fromkeys(found for text in texts for found in _REMEMBER.findall(text)))


def summary(texts: Iterable[str], script: Sequence[Element] | None, replies: int) -> Element:
    """`script` is the one being played, of which so many replies have been given."""
    lines = [f"{_SUMMARY}{replies} replies.", *(f"remember: {it}" for it in remembered(texts))]
    if script is not None:
        elements = [element.model_dump(exclude_unset=True) for element in script]
        # What a later reply is to fill in must not be filled in here.
        told = json.dumps(elements, ensure_ascii=False).replace("{re", "\\u007bre")
        lines.append(f"script: {told}")
    return Element(say="\n".join(lines))


def place_of(text: str, script: Sequence[Element], replies: Sequence[Sequence[JsonObject]]) -> int:
    """How many elements of the script were played, where `text` holds it and these replies followed
    it. They are all of them, unless the text is a summary.
    """
    said = _REPLIES.search(text)
    if said is None:
        return len(replies)
    for first in range(int(said[1]), -1, -1):
        expected = script[first : first + len(replies)]
        pairs = zip(expected, replies, strict=False)
        if len(expected) == len(replies) and all(_is_reply(*pair) for pair in pairs):
            return first + len(replies)
    return len(script)


def _is_reply(element: Element, blocks: Sequence[JsonObject]) -> bool:
    texts = [str(block["text"]) for block in blocks if block["type"] == "text"]
    uses = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    is_fixed = not any("{" in text for text in element.texts)
    same_texts = texts == [text for text in element.texts if text] or not is_fixed
    return same_texts and uses == [(use.tool, use.input) for use in element.uses]
