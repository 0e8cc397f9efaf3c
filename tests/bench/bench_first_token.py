"""How soon an answer begins: from pressing Enter in the page to the first text of the answer in the page.

``python -m tests.bench.bench_first_token [sends]`` starts the product with the demo engine, drives Chromium, and prints
the time beyond the engine's own delay. The page takes both times itself, so driving it costs nothing.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.async_api import Page, async_playwright

ROOT = Path(__file__).resolve().parents[2]
ENGINE_S = 0.1  # what the engine is told to wait before its first token
READY = 'Corral is ready: '

# From the key to the first moment at which the newest answer has text; a paint follows within a frame.
WATCH = """
() => {
  addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    const began = performance.now(), before = document.querySelectorAll('.msg.answer').length;
    window.firstText = new Promise((resolve) => {
      const look = () => {
        const answers = document.querySelectorAll('.msg.answer');
        const prose = answers.length > before && answers[answers.length - 1].querySelector('.prose');
        if (!prose || !prose.textContent.trim()) return;
        observer.disconnect();
        resolve(performance.now() - began);
      };
      const observer = new MutationObserver(look);
      observer.observe(document.body, {subtree: true, childList: true, characterData: true});
    });
  }, true);
}
"""


@contextlib.contextmanager
def product(folder: str) -> Iterator[str]:
    """The whole product on the demo engine; yields its address."""
    (Path(folder) / 'corral.toml').write_text(f'[worker]\ndemo_first_token_s = {ENGINE_S}\ndemo_chars_per_s = 4000\n')
    environment = os.environ | {'CORRAL_NO_SETUP': '1'}
    command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--port', '0', '--engine', 'demo']
    command += ['--data-dir', f'{folder}/data', '--config', f'{folder}/corral.toml']
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stdout if line.startswith(READY))
        print(f'ready {time.perf_counter() - began:.2f} s after the start')
        yield line.removeprefix(READY).strip()
    finally:
        began = time.perf_counter()
        process.terminate()
        process.communicate()
        print(f'stopped within {time.perf_counter() - began:.2f} s')


async def send(page: Page, number: int) -> float:
    """Ask once and wait for the end of the answer; returns milliseconds from Enter to the first text."""
    box = page.locator('.composer textarea')
    await box.fill(f'Question {number}: what is a corral?')
    await box.press('Enter')
    took: float = await page.evaluate('window.firstText')
    await page.locator('.msg.answer').last.get_by_role('button', name='Retry').wait_for()
    return took


async def measure(sends: int) -> list[float]:
    """Milliseconds from Enter to the first text, for each send of one conversation after a first, unmeasured one."""
    browser_path = os.environ.get('CHROMIUM', '/usr/bin/chromium')
    with tempfile.TemporaryDirectory() as folder, product(folder) as url:
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=browser_path, args=['--no-sandbox', '--disable-gpu'])
            page = await browser.new_page(locale='en-US', viewport={'width': 1440, 'height': 900})
            await page.goto(url)
            await page.locator('.composer textarea').wait_for()
            await page.evaluate(WATCH)
            took = [await send(page, number) for number in range(sends + 1)]
            await browser.close()
    return took[1:]


def main(sends: int) -> None:
    """Measure, and print what the product adds to the engine's delay."""
    added = sorted(took - ENGINE_S * 1000 for took in asyncio.run(measure(sends)))
    p95 = added[min(len(added) - 1, round(0.95 * len(added)))]
    print(f'Enter → first text, beyond the engine’s {ENGINE_S * 1000:.0f} ms, {sends} sends:')
    print(f'median {statistics.median(added):.0f} ms   p95 {p95:.0f} ms   worst {added[-1]:.0f} ms')


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
