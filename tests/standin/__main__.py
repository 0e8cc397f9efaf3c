"""``python -m tests.standin``."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import threading

from tests.standin import StandIn


async def _main() -> None:
    parser = argparse.ArgumentParser(prog='python -m tests.standin', description='A stand-in for Ollama.')
    parser.add_argument('--port', type=int, default=0, help='0 is any free one')
    parser.add_argument('--parallel', type=int, default=0, help='how many requests of a model run at once; 0: all')
    parser.add_argument('--faults', action='store_true', help='also have a model for each thing that can go wrong')
    chosen = parser.parse_args()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with StandIn(port=chosen.port, faults=chosen.faults, parallel=chosen.parallel) as ollama:
        print(json.dumps({'url': ollama.url}), flush=True)
        threading.Thread(target=_watch_parent, args=(loop, stop), daemon=True).start()
        await stop.wait()


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # it has stopped already
        loop.call_soon_threadsafe(stop.set)


if __name__ == '__main__':
    asyncio.run(_main())
