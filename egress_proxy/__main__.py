"""`python -m egress_proxy SETTINGS`: see `egress_proxy.settings`.

Says `{"boot_id": ..., "addresses": [...]}` on standard output once it listens.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - another user may not be able to read what is imported later
import encodings.idna  # noqa: F401 - as above; every resolution needs it
import json
import os
import resource
import signal
import sys

from egress_proxy.proxy import Proxy
from egress_proxy.settings import Settings, parse


async def serve(settings: Settings) -> None:
    """Until SIGTERM, SIGINT or, if the settings say so, the end of standard input."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if settings.ends_with_input:
        loop.add_reader(0, lambda: os.read(0, 1024) or ended.set())  # type: ignore[func-returns-value]
    proxy = Proxy(settings)
    await proxy.start()
    if settings.uid is not None:
        os.setgroups([])
        os.setgid(settings.uid)
        os.setuid(settings.uid)
    said = {"boot_id": proxy.boot_id, "addresses": proxy.addresses}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    await ended.wait()
    proxy.close()


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(parse(sys.argv[1])))


if __name__ == "__main__":
    main()
