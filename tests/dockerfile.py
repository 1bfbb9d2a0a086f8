"""A Dockerfile as instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """`text` is what follows the word, continued lines joined, comments left out."""

    word: str
    text: str


def instructions(text):
    """In their order."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    found, whole = [], ""
    for line in lines:
        whole += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        word, _, rest = whole.strip().partition(" ")
        found.append(Instruction(word, re.sub(r"\s+", " ", rest.strip())))
        whole = ""
    assert not whole
    return found


def stages(text):
    """Lists of instructions, each beginning with its FROM; what stands before the first is none."""
    found = []
    for one in instructions(text):
        if one.word == "FROM":
            found.append([])
        if found:
            found[-1].append(one)
    return found
