"""The egress proxy of a task, as a child process: the program itself, with names and addresses that
the test has made up.

`EGRESS_INTERNET` is `{hosts: {name: [address]}, servers: {"address:port": port of loopback}}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from egress_proxy.destinations import CHUNK_BYTES, Destinations
from egress_proxy.proxy import Proxy
from egress_proxy.settings import parse


async def main() -> None:
    settings = parse(sys.argv[1])
    internet = json.loads(os.environ["EGRESS_INTERNET"])

    def resolve(host, _port):
        if host not in internet.get("hosts", {}):
            raise OSError("no such name")
        return internet["hosts"][host]

    async def dial(address, port):
        found = internet.get("servers", {}).get(f"{address}:{port}")
        if found is None:
            raise ConnectionRefusedError
        return await asyncio.open_connection("127.0.0.1", found, limit=CHUNK_BYTES)

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    places = Destinations(
        settings.refused_ranges,
        seconds=settings.limits.connect_seconds,
        resolve=resolve,
        dial=dial,
    )
    proxy = Proxy(settings, places)
    await proxy.start()
    await ended.wait()
    proxy.close()


asyncio.run(main())
