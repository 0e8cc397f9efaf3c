"""What scrolling a long history costs a browser: ``python -m tests.bench.bench_history_page [jobs] [chromium]``.

Starts the product on a queue of so many jobs that ended (100,000 unless told), opens the history, turns the wheel for
ten seconds and jumps to the last row five times. Prints what a frame that brings rows takes on the page's main thread
and of what that is made, and the longest task. Ends with 1 when a limit is broken: half of these frames under 16 ms,
95 % under 33 ms, no task over 100 ms, rows within 1 s after every jump.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.bench.bench_history import fill
from tests.bench.bench_queue_page import READY, ROOT
from tests.browser import launched

SECONDS, WHEEL_PX, TURNS_PER_S, JUMPS = 10, 120, 30, 5
VIEWPORT = '.job-grid .ag-body-viewport'
FRAME = 'ThreadControllerImpl::RunTask'  # one task of a thread, in Chromium's own words
ROWS = 60  # elements that are styled: so many are of more than one row
PARTS = {
    'script': ('FunctionCall', 'v8.callFunction', 'FireAnimationFrame', 'TimerFire', 'EventDispatch', 'RunMicrotasks'),
    'style': ('UpdateLayoutTree',),
    'layout': ('Layout',),
    'paint': ('PrePaint', 'Paint', 'Layerize', 'Commit'),
}
Event = dict[str, Any]


async def main(jobs: int, chromium: str) -> int:
    """Measure and judge."""
    with desk(jobs) as url:
        async with launched(chromium) as browser:
            page = await browser.new_page(viewport={'width': 1440, 'height': 900})
            await page.goto(f'{url}/history')
            await page.wait_for_selector('.job-grid .ag-row .job-title')
            await page.hover(VIEWPORT)
            await page.mouse.wheel(0, WHEEL_PX)  # what is made once is made
            await page.wait_for_timeout(1_000)
            frames, tasks, parts = weighed(await traced(page, wheel))
            jumps = [await jump(page) for _ in range(JUMPS)]
    half, most, longest = frames[len(frames) // 2], frames[int(len(frames) * 0.95)], tasks[-1]
    print(
        f'{jobs:,} jobs, {len(frames)} frames that bring rows: main thread p50 {half:.1f} ms, p95 {most:.1f} ms a frame'
    )
    print(f'longest task {longest:.0f} ms; a frame has ' + ', '.join(f'{n} {ms:.1f} ms' for n, ms in parts.items()))
    print('jumps to the last row: ' + ', '.join(f'{took:.2f} s' for took in jumps))
    return int(half > 16 or most > 33 or longest > 100 or max(jumps) > 1)


@contextlib.contextmanager
def desk(jobs: int) -> Iterator[str]:
    """The product with so many jobs that ended: its address."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        data = Path(name) / 'data'
        data.mkdir()
        fill(data / 'queue.db', jobs)
        (Path(name) / 'corral.toml').touch()
        command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--port', '0', '--engine', 'demo']
        kept = {f'CORRAL_BROKER__KEEP_{what}': '' for what in ('COMPLETED', 'DEAD')}
        environment = os.environ | kept | {'CORRAL_NO_SETUP': '1', 'CORRAL_CONFIG': str(Path(name) / 'corral.toml')}
        process = subprocess.Popen(
            [*command, '--data-dir', str(data)], env=environment, stdout=subprocess.PIPE, text=True
        )
        stack.callback(lambda: (process.terminate(), process.wait()))
        assert process.stdout
        yield next(line for line in process.stdout if line.startswith(READY)).removeprefix(READY).strip()


async def wheel(page: Page) -> None:
    """Turn it as steadily as a hand does."""
    began = time.perf_counter()
    for turn in range(SECONDS * TURNS_PER_S):
        await page.mouse.wheel(0, WHEEL_PX)
        await asyncio.sleep(max(0.0, began + (turn + 1) / TURNS_PER_S - time.perf_counter()))


async def traced(page: Page, deed: Any) -> list[Event]:
    """What Chromium notes about the page's main thread meanwhile."""
    devtools = await page.context.new_cdp_session(page)
    events: list[Event] = []
    over = asyncio.Event()
    devtools.on('Tracing.dataCollected', lambda data: events.extend(data['value']))
    devtools.on('Tracing.tracingComplete', lambda _: over.set())
    await devtools.send('Tracing.start', {'categories': 'devtools.timeline,toplevel', 'transferMode': 'ReportEvents'})
    await deed(page)
    await devtools.send('Tracing.end')
    await over.wait()
    return events


def weighed(events: list[Event]) -> tuple[list[float], list[float], dict[str, float]]:
    """Milliseconds of CPU of every frame that brings rows and of every task, both in order; what a frame is made of."""
    mains = {
        (each['pid'], each['tid'])
        for each in events
        if each['name'] == 'thread_name' and each['args']['name'] == 'CrRendererMain'
    }
    of_page = [each for each in events if each['ph'] == 'X' and (each['pid'], each['tid']) in mains]
    thread = Counter((each['pid'], each['tid']) for each in of_page).most_common(1)[0][0]
    of_page = sorted((each for each in of_page if (each['pid'], each['tid']) == thread), key=lambda each: each['ts'])
    tasks = [each for each in of_page if each['name'] == FRAME]
    drawn = [each['ts'] for each in of_page if each['name'] == 'Layerize']
    styled = [each['ts'] for each in of_page if each.get('args', {}).get('elementCount', 0) > ROWS]
    frames, spent, changed = [], 0.0, False
    for task in tasks:  # a frame is all that is done until it is drawn
        begins, ends = task['ts'], task['ts'] + task.get('dur', 0)
        spent += _ms(task)
        changed = changed or _any(styled, begins, ends)
        if _any(drawn, begins, ends):
            frames += [spent] if changed else []
            spent, changed = 0.0, False
    parts = {name: sum(_ms(each) for each in of_page if each['name'] in names) for name, names in PARTS.items()}
    return sorted(frames), sorted(map(_ms, tasks)), {name: total / len(frames) for name, total in parts.items()}


def _any(times: list[float], begins: float, ends: float) -> bool:
    at = bisect_left(times, begins)
    return at < len(times) and times[at] < ends


def _ms(event: Event) -> float:
    return float(event.get('tdur', event.get('dur', 0))) / 1000


async def jump(page: Page) -> float:
    """Seconds until the last rows are there."""
    await page.evaluate(f"document.querySelector('{VIEWPORT}').scrollTop = 0")
    await page.wait_for_function('document.querySelector(\'.job-grid .ag-row[row-index="0"] .job-title\')')
    began = time.perf_counter()
    await page.evaluate(f"(body => body.scrollTo(0, body.scrollHeight))(document.querySelector('{VIEWPORT}'))")
    await page.wait_for_function(
        f"""() => {{ const edge = document.querySelector('{VIEWPORT}').getBoundingClientRect();
        const rows = [...document.querySelectorAll('.job-grid .ag-center-cols-container .ag-row')].filter(row => {{
          const box = row.getBoundingClientRect(); return box.bottom > edge.top + 9 && box.top < edge.bottom - 9; }});
        return rows.length > 5 && rows.every(row => row.querySelector('.job-title')); }}"""
    )
    return time.perf_counter() - began


if __name__ == '__main__':
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    where = sys.argv[2] if len(sys.argv) > 2 else '/usr/bin/chromium'
    raise SystemExit(asyncio.run(main(count, where)))
