"""Programs that are no handlers, watched as those are: runs before any of their code."""

from __future__ import annotations

import os

if "E2E_PROGRAM" in os.environ:
    import recorded

    recorded.record_calls(os.environ["E2E_PROGRAM"])
