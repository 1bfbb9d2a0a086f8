"""Where the relay leads when the server says so: to a proxy on the network, which may become
another one while the sandbox goes on.
"""

# ruff: noqa: PTH118, PTH123 - pathlib is slow to import

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from freehold.toolset.egress_environment import egress_environment
from sandbox_task.egress_relay import PROXY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_task.settings import Settings
    from sandbox_task.toolbox import Toolbox


class WayOut:
    """Of a sandbox that was started with a relay."""

    def __init__(self, settings: Settings, toolbox: Toolbox) -> None:
        self._settings = settings
        self._toolbox = toolbox

    @property
    def is_there(self) -> bool:
        return bool(self._settings.egress)

    def lead(self, proxy: str, token: str, variables: Mapping[str, str]) -> None:
        """From the next connection on to `proxy`, `host:port`; processes that are started from now
        on know of it. Raises OSError.
        """
        settings = self._settings
        path = os.path.join(settings.egress, PROXY)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(proxy)
        os.rename(f"{path}.new", path)  # noqa: PTH104 - as above
        self._toolbox.add_to_environment(
            egress_environment(settings.session_id, token, variables, settings.relay)
        )
