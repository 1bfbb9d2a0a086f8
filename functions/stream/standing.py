"""Whether whoever follows a feed may go on: a key that is revoked ends what it opened."""

from __future__ import annotations

import asyncio

from freehold.services.keys import Caller, check_standing
from functions.stream.hub import Hub


class Standing:
    """One client's key. Looked up at most once in the time of a ping: a busy stream costs no more
    than a quiet one.
    """

    def __init__(self, hub: Hub, caller: Caller) -> None:
        self._hub = hub
        self._caller = caller
        self._seconds = hub.app.settings.ping_seconds
        self._next = asyncio.get_running_loop().time() + self._seconds

    async def check(self, *, now: bool = False) -> None:
        """Raises AuthenticationFailed for a key that is not accepted any more. `now`: however
        recently it was looked up.
        """
        loop = asyncio.get_running_loop()
        if not now and loop.time() < self._next:
            return
        self._next = loop.time() + self._seconds
        await loop.run_in_executor(self._hub.readers, check_standing, self._hub.app, self._caller)
