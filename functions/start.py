"""The start of a function, without the garbage collector.

Imports make hundreds of thousands of objects and no garbage, and the collector would look through
all of them again and again: a seventh of the processor time of a cold start. `index` imports this
module before any other of ours, and calls `over` last.
"""

from __future__ import annotations

import gc

gc.disable()


def over() -> None:
    """What exists by now is there to stay, so the collector never looks at it again."""
    gc.freeze()
    gc.enable()
