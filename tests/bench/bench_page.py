"""How soon the first page can be used: from the address to the place to write having the focus, with nothing cached.

``python -m tests.bench.bench_page [loads]`` starts the product with the demo engine and, beside it, a NiceGUI page with
one word on it, and prints the medians of both: seconds, requests, and bytes as they came over the wire.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser

from tests.browser import launched
from tests.conftest import ROOT, clean_environment, starter
from tests.screenshots import chromium

BARE = """
import socket, uvicorn
from fastapi import FastAPI
from nicegui import ui
api = FastAPI()
ui.run_with(api, root=lambda: ui.label('bare').classes('usable'), tailwind=False)
door = socket.create_server(('127.0.0.1', 0))
print(door.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(api, log_level='error')).run(sockets=[door])
"""
# the moment at which it can be used, by the page's own clock
WATCH = """
const look = () => {
  const found = document.querySelector('.usable') ?? document.querySelector('.composer textarea:focus');
  if (found && !window.usable) window.usable = performance.now();
};
addEventListener('focusin', look);
new MutationObserver(look).observe(document, {subtree: true, childList: true});
"""


@dataclass
class Load:
    """One cold load."""

    seconds: float
    requests: int
    kilobytes: float


async def measure(browser: Browser, url: str, loads: int) -> Load:
    """The medians of so many loads, each in a browser that has seen nothing yet."""
    found = [await _load(browser, url) for _ in range(loads)]
    return Load(
        statistics.median(each.seconds for each in found),
        round(statistics.median(each.requests for each in found)),
        statistics.median(each.kilobytes for each in found),
    )


async def _load(browser: Browser, url: str) -> Load:
    context = await browser.new_context(viewport={'width': 1440, 'height': 900})
    page = await context.new_page()
    network = await context.new_cdp_session(page)
    sizes: list[float] = []
    network.on('Network.loadingFinished', lambda event: sizes.append(event['encodedDataLength']))
    await network.send('Network.enable')
    await page.add_init_script(WATCH)
    await page.goto(url)
    await page.wait_for_function('window.usable')
    seconds = await page.evaluate('window.usable') / 1000
    await context.close()
    return Load(seconds, len(sizes), sum(sizes) / 1000)


@contextlib.contextmanager
def bare() -> Iterator[str]:
    """The address of a page with one word."""
    process = subprocess.Popen(
        [sys.executable, '-c', BARE], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield f'http://127.0.0.1:{process.stdout.readline().strip()}/'
    finally:
        process.terminate()
        process.communicate()


async def main(loads: int) -> None:
    """Measure both, and print."""
    with tempfile.TemporaryDirectory() as folder, starter(Path(folder)) as start, bare() as other:
        desk = start('--engine', 'demo')
        async with launched(chromium()) as browser:
            for name, url in (('a bare NiceGUI page', other), ('the chat page', f'{desk.url}/chat')):
                await _load(browser, url)  # the server's own first time
                load = await measure(browser, url, loads)
                print(f'{name}: {load.seconds:.2f} s, {load.requests} requests, {load.kilobytes:.0f} kB')


if __name__ == '__main__':
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
