"""What a long queue costs its page: ``python -m tests.bench.bench_queue_page [jobs] [chromium]``.

Starts the product with one busy slot, lets so many jobs wait (99,000 unless told; the queue's own limit is 100,000),
opens the page in a browser and prints the time to the first rows, the time to rows in the middle after a jump there,
the time until a filter shows, the size of the page, and what the server and the browser spend while 20 jobs a second
are queued, moved and cancelled. Ends with 1 when a limit is broken: 2 s, 0.5 s, 1 s, a quarter of a core.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from playwright.async_api import Page

from broker import client, protocol
from broker.endpoints import Endpoints
from tests.browser import launched

ROOT = Path(__file__).resolve().parents[2]
READY = 'Corral is ready: '
MOVES_PER_S, SECONDS = 20, 10
MODELS, USERS = ('demo', 'demo', 'qwen3:8b', 'llama3.3:70b'), 200
HANG = b'{"messages": [{"role": "user", "content": "x"}], "options": {"demo": {"hang_after": 1}}}'
BODY = b'{"messages": [{"role": "user", "content": "x"}]}'


async def main(jobs: int, chromium: str) -> int:
    """Measure and judge."""
    with desk() as (url, folder):
        at = folder / 'data' / 'run'
        endpoints = Endpoints(**{name: f'ipc://{at / name}' for name in ('client', 'worker', 'facts')})
        async with client.BrokerClient(endpoints, timeout_s=60) as broker, launched(chromium) as browser:
            ids = await fill(broker, jobs)
            page = await browser.new_page(viewport={'width': 1440, 'height': 900})
            first_s, middle_s, filter_s = await look(page, url)
            size = await page.evaluate('document.querySelectorAll("*").length')
            quiet = await spent(page, folder, None, ids)
            busy = await spent(page, folder, broker, ids)
            memory = app_of(folder).memory_info().rss / 1e6
    print(f'{jobs:,} waiting: first rows {first_s:.2f} s, middle {middle_s:.2f} s, filter {filter_s:.2f} s')
    print(f'{size:,} elements in the page, {memory:.0f} MB in the desk')
    print(f'quiet        desk {quiet[0]:6.1%} of a core, browser {quiet[1]:6.1%}')
    print(f'{MOVES_PER_S} moves/s   desk {busy[0]:6.1%} of a core, browser {busy[1]:6.1%}')
    return int(first_s > 2 or middle_s > 0.5 or filter_s > 1 or busy[0] > 0.25)


@contextlib.contextmanager
def desk() -> Iterator[tuple[str, Path]]:
    """The product with one slot: its address and its folder."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / 'corral.toml').touch()
        command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--port', '0', '--engine', 'demo']
        command += ['--workers', '1', '--slots', '1', '--data-dir', str(folder / 'data')]
        patient = {'CORRAL_WORKER__IDLE_TIMEOUT_S': '3600'}  # the job that holds the slot hangs for as long as it takes
        environment = os.environ | patient | {'CORRAL_NO_SETUP': '1', 'CORRAL_CONFIG': str(folder / 'corral.toml')}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        stack.callback(lambda: (process.terminate(), process.wait()))
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith(READY))
        yield line.removeprefix(READY).strip(), folder


async def fill(broker: client.BrokerClient, jobs: int) -> list[str]:
    """One job that runs for ever, and so many that wait."""
    await broker.submit(protocol.Submit(job_id=client.new_job_id(), kind='chat', model='demo', body=HANG, priority=15))
    ids: list[str] = []
    while len(ids) < jobs:
        many = [order(len(ids) + at) for at in range(min(1_000, jobs - len(ids)))]
        await broker.submit_many(many)
        ids += [each.job_id for each in many]
    return ids


def order(at: int) -> protocol.Submit:
    """One of those that wait."""
    return protocol.Submit(
        job_id=client.new_job_id(),
        kind='chat',
        model=MODELS[at % len(MODELS)],
        body=BODY,
        user=f'user{at % USERS}',
        priority=(1, 5, 5, 5, 5, 5, 10, 15)[at % 8],
    )


async def look(page: Page, url: str) -> tuple[float, float, float]:
    """Seconds until the first rows, until those in the middle, and until a filter shows."""
    await page.goto(f'{url}/queue?state=running')  # everything that is loaded once is here now
    await page.wait_for_selector('.qb-run')
    began = time.perf_counter()
    await page.goto(f'{url}/queue')
    await page.wait_for_selector('.qb-row .qb-title')
    first_s = time.perf_counter() - began
    began = time.perf_counter()
    await page.evaluate('(body => body.scrollTo(0, body.scrollHeight / 2))(document.querySelector(".page-body"))')
    await page.wait_for_function(
        """() => { const edge = document.querySelector(".page-body").getBoundingClientRect();
        const rows = [...document.querySelectorAll(".qb-row")].filter(row => {
          const box = row.getBoundingClientRect(); return box.bottom > edge.top && box.top < edge.bottom; });
        return rows.length > 5 && rows.every(row => row.dataset.job) && Number(rows[0].ariaPosInSet) > 1000; }"""
    )
    middle_s = time.perf_counter() - began
    began = time.perf_counter()
    await page.locator('.qb-search input').fill('user77')
    await page.wait_for_function(
        """() => { const rows = [...document.querySelectorAll(".qb-row[data-job] .qb-user")];
        return rows.length && rows.every(row => row.textContent === "user77"); }"""
    )
    filter_s = time.perf_counter() - began
    await page.goto(f'{url}/queue')
    await page.wait_for_selector('.qb-row .qb-title')
    return first_s, middle_s, filter_s


async def spent(page: Page, folder: Path, broker: client.BrokerClient | None, ids: list[str]) -> tuple[float, float]:
    """Shares of a core that the desk and the page's main thread take, with moves or (no ``broker``) without."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send('Performance.enable')

    async def browser_s() -> float:
        found = await devtools.send('Performance.getMetrics')
        return next(each['value'] for each in found['metrics'] if each['name'] == 'TaskDuration')

    times = app_of(folder).cpu_times()
    began, before, in_browser = time.perf_counter(), times.user + times.system, await browser_s()
    for step in range(MOVES_PER_S * SECONDS):
        if broker is not None:
            await move(broker, ids, step)
        await asyncio.sleep(max(0.0, began + (step + 1) / MOVES_PER_S - time.perf_counter()))
    times, took = app_of(folder).cpu_times(), time.perf_counter() - began
    return (times.user + times.system - before) / took, (await browser_s() - in_browser) / took


async def move(broker: client.BrokerClient, ids: list[str], step: int) -> None:
    """One job comes, changes its lane, or goes."""
    if step % 3 == 0:
        await broker.submit(order(step))
    elif step % 3 == 1:
        await broker.set_priority(ids[step], 15)
    else:
        await broker.cancel(ids[step])


def app_of(folder: Path) -> psutil.Process:
    """The process of the desk."""
    for process in psutil.process_iter(['cmdline']):
        words = process.info['cmdline'] or []
        if 'app' in words and any(str(folder) in word for word in (*words, *environment_of(process))):
            return process
    raise SystemExit('the desk is not there')


def environment_of(process: psutil.Process) -> list[str]:
    """What it was started with."""
    with contextlib.suppress(psutil.Error):
        return list(process.environ().values())
    return []


if __name__ == '__main__':
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 99_000
    where = sys.argv[2] if len(sys.argv) > 2 else '/usr/bin/chromium'
    raise SystemExit(asyncio.run(main(count, where)))
