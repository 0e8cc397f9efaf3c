"""What the desk costs with many at it: streams, watchers, idle tabs, tabs that come and go, a search over everything.

``python -m tests.bench.bench_desk [part …]`` starts the product in front of a stand-in for Ollama, opens tabs (one in
Chromium, the others without a browser, see ``watcher``), and prints figures with the bound that each has to keep.
Parts: bytes, smooth, watchers, idle, leaving, search; all of them without an argument.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
from playwright.async_api import async_playwright

from app.board import Board
from app.chats.chat import ChatService
from app.desk import Desk
from app.messages import Conversation, Message
from app.shelf.shelf_search import Search
from tests.bench.watcher import Watcher

ROOT = Path(__file__).resolve().parents[2]
READY = 'Corral is ready: '
TEXT = (ROOT / 'tests' / 'app' / 'answer.md').read_text(encoding='utf-8')
CHARS_PER_TOKEN = 4
TOKENS_PER_S = 100
LATE = 1.4  # the stand-in sleeps after each part, and always a little longer than asked

WATCH = """() => {
  window.pauses = [];
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => pauses.push(Math.round(entry.duration))))
    .observe({ type: 'longtask' });
}"""


@contextlib.contextmanager
def product(folder: Path) -> Iterator['Product']:
    """A stand-in for Ollama, and the whole product in front of it."""
    command = [sys.executable, '-m', 'tests.standin', '--port', '0']
    ollama = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        where = json.loads(ollama.stdout.readline())['url']
        for tokens in (1000, 2000, 4000, 8000):
            text = (TEXT * 40)[: tokens * CHARS_PER_TOKEN]
            teach(where, f'fast-{tokens}:latest', text, 8 * TOKENS_PER_S)
            teach(where, f'even-{tokens}:latest', text, LATE * TOKENS_PER_S)
        command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--port', '0', '--engine', 'ollama']
        command += ['--ollama-url', where, '--workers', '1', '--slots', '4', '--data-dir', str(folder / 'data')]
        environment = {name: value for name, value in os.environ.items() if name != 'PYTEST_CURRENT_TEST'}
        with (folder / 'stderr').open('w') as errors:
            process = subprocess.Popen(
                command, env=environment | {'CORRAL_NO_SETUP': '1'}, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            line = next(line for line in process.stdout if line.startswith(READY))
            pids = json.loads((folder / 'data' / 'run' / 'processes.json').read_text())
            yield Product(line.removeprefix(READY).strip(), psutil.Process(pids['app']))
        finally:
            process.terminate()
            process.communicate()
    finally:
        ollama.stdin.close()
        ollama.wait(10)
        ollama.stdout.close()


def teach(ollama: str, model: str, text: str, tokens_per_s: float) -> None:
    """A model that says exactly this."""
    script = {'text': text, 'chars_per_s': tokens_per_s * CHARS_PER_TOKEN}
    httpx.post(f'{ollama}/control/models', json={model: script}).raise_for_status()


class Product:
    """The running desk and its app process."""

    def __init__(self, url: str, app: psutil.Process) -> None:
        self.url, self.app = url, app

    def cpu_s(self) -> float:
        """Processor time of the app so far."""
        times = self.app.cpu_times()
        return times.user + times.system

    def rss_mb(self) -> float:
        """Its memory now."""
        return self.app.memory_info().rss / 1e6

    async def ask(self, tab: Watcher, model: str) -> str:
        """Send a question from a tab; returns the conversation that it began."""
        tab.keep = True
        nonce = os.urandom(8).hex()
        await tab.emit('composer', 'part', nonce, f'Ask {model}')
        await tab.emit('composer', 'send', {'nonce': nonce, 'key': '', 'model': model, 'priority': 5})
        async with asyncio.timeout(20):
            while not (found := re.search(r'/chat/([0-9a-f]{32})', tab.text)):
                await tab.heard.wait()
                tab.heard.clear()
        tab.keep, tab.text = False, ''
        return found[1]

    async def ended(self, conversation: str, timeout_s: float = 150.0) -> str:
        """Wait for the end of an answer; returns it."""
        async with asyncio.timeout(timeout_s), httpx.AsyncClient(base_url=self.url) as client:
            while True:
                [talk] = (await client.get(f'/shelf/{conversation}.json')).json()['conversations']
                if talk['messages'][-1]['state'] == 'completed':
                    return talk['messages'][-1]['content']
                await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def tabs(desk: Product, count: int, path: str = '/chat') -> AsyncIterator[list[Watcher]]:
    """So many open tabs."""
    opened: list[Watcher] = []
    try:
        for _ in range(count):
            opened.append(await Watcher.open(desk.url, path))
        yield opened
    finally:
        for each in opened:
            await each.close()


def told(what: str, figure: str, good: bool) -> None:
    """One line, with a mark where a bound was broken."""
    print(f'{"  " if good else "! "}{what}: {figure}', flush=True)


async def bytes_(desk: Product) -> None:
    """Bytes over the socket per character of the answer: the same for every length."""
    ratios = []
    for tokens in (1000, 2000, 4000, 8000):
        async with tabs(desk, 1) as [tab]:
            await asyncio.sleep(1.0)
            conversation = await desk.ask(tab, f'fast-{tokens}:latest')
            before = tab.received
            text = await desk.ended(conversation)
            await asyncio.sleep(1.0)
            ratios.append((tab.received - before) / len(text.encode()))
            print(f'   {tokens} tokens, {len(text.encode())} bytes: {tab.received - before} bytes to the browser')
    figures = ', '.join(f'{each:.1f}' for each in ratios)
    told('bytes to the browser per byte of the answer', figures, ratios[-1] < 1.2 * ratios[0])


async def smooth(desk: Product) -> None:
    """8,000 tokens at 100 tokens/s in Chromium: no long task over 100 ms, under 15 % of a core here."""
    async with async_playwright() as play:
        path = os.environ.get('CHROMIUM', '/usr/bin/chromium')
        browser = await play.chromium.launch(executable_path=path, args=['--no-sandbox', '--disable-gpu'])
        page = await browser.new_page(locale='en-US', viewport={'width': 1440, 'height': 900})
        async with tabs(desk, 1) as [tab]:
            conversation = await desk.ask(tab, 'even-8000:latest')
        await page.goto(f'{desk.url}/chat/{conversation}')
        await page.locator('.msg.answer .prose p').first.wait_for()
        await page.evaluate(WATCH)
        began, cpu = time.perf_counter(), desk.cpu_s()
        text = await desk.ended(conversation)
        took = time.perf_counter() - began
        share = (desk.cpu_s() - cpu) / took
        pauses = await page.evaluate('pauses')
        await browser.close()
    longest = max(pauses, default=0)
    print(f'   {len(text) / CHARS_PER_TOKEN:.0f} tokens at {len(text) / CHARS_PER_TOKEN / took:.0f} tokens/s')
    told('longest task in the browser', f'{longest} ms, {len(pauses)} over 50 ms', longest <= 100)
    told('the app while one watches', f'{100 * share:.1f} % of a core', share < 0.15)


async def watchers(desk: Product) -> None:
    """Fifty tabs watch one answer at 100 tokens/s: under one core."""
    async with tabs(desk, 1) as [tab]:
        conversation = await desk.ask(tab, 'even-4000:latest')
        async with tabs(desk, 49, f'/chat/{conversation}') as others:
            await asyncio.sleep(2)
            before = [each.received for each in others]
            began, cpu = time.perf_counter(), desk.cpu_s()
            await asyncio.sleep(15)
            share = (desk.cpu_s() - cpu) / (time.perf_counter() - began)
            heard = [each.received - start for each, start in zip(others, before, strict=True)]
            await desk.ended(conversation)
    told('the app with fifty watchers', f'{100 * share:.0f} % of a core', share < 1.0)
    told('bytes that each of them heard', f'{min(heard)} to {max(heard)}', min(heard) > 0.8 * max(heard))


async def idle(desk: Product) -> None:
    """A hundred tabs that do nothing: under 2 MB each."""
    async with tabs(desk, 20):
        before = desk.rss_mb()
        async with tabs(desk, 100):
            await asyncio.sleep(2)
            each = (desk.rss_mb() - before) / 100
            began, cpu = time.perf_counter(), desk.cpu_s()
            await asyncio.sleep(5)
            share = (desk.cpu_s() - cpu) / (time.perf_counter() - began)
    told('memory of an idle tab', f'{each:.2f} MB', each < 2)
    print(f'   the app with 120 idle tabs: {100 * share:.1f} % of a core')


async def leaving(desk: Product, rounds: int = 5, each: int = 200) -> None:
    """A thousand tabs are opened and closed: memory grows no more after the first of five rounds."""
    paths = ('/chat', '/queue', '/history', '/workers', '/analytics', '/settings')
    sizes = []
    for _ in range(rounds):
        for start in range(0, each, 20):
            async with tabs(desk, 20, paths[start // 20 % len(paths)]):
                pass
        await asyncio.sleep(25)  # so long a tab that was closed may come back
        sizes.append(desk.rss_mb())
    figures = ', '.join(f'{size:.0f}' for size in sizes)
    told(f'memory after each {each} tabs came and went', f'{figures} MB', sizes[-1] - sizes[1] < 15)


async def search(_: Any, messages: int = 100_000) -> None:
    """A hundred thousand messages: every search under 300 ms, Chinese and short ones too."""
    with tempfile.TemporaryDirectory() as folder:
        await fill(Path(folder) / 'desk.db', messages)
        chat = await ChatService.open(
            SimpleNamespace(data_dir=Path(folder), max_attachments_bytes=10**9), None, Board()
        )
        looked = Search(chat, Path(folder) / 'desk.db')
        for text in ('warm-up', '队列', '的', '优先级', 'zq', 'absent word', '鿿', '鿿鿾', '鿿鿾鿽', 'model 模型', 'a'):
            took = []
            for _ in range(3):
                began = time.perf_counter()
                findings = await looked.find(text)
                took.append(1000 * (time.perf_counter() - began))
            shown = f'{min(took):.0f} ms, {len(findings.found)} conversations'
            told(f'“{text}” in {messages} messages', shown, min(took) < 300)
        looked.close()
        await chat.close()


async def fill(path: Path, messages: int) -> None:
    """Conversations of ten messages each, half of them Chinese."""
    chance = random.Random(5)
    words = [*TEXT.split(), '队列', '模型', '优先级', '任务', '排队', '回答']
    han = [chr(chance.randint(0x4E00, 0x9E00)) for _ in range(1500)]
    desk = await Desk.open(path)
    for start in range(0, messages, 5000):
        whole = []
        for number in range(start, min(start + 5000, messages), 10):
            name = f'{number:032x}'
            talk = [
                Message(
                    id=f'{number + place:032x}', conversation_id=name, role='user', content=said(chance, words, han)
                )
                for place in range(10)
            ]
            header = Conversation(
                id=name, title=f'Talk {number}', created_at=1.0, updated_at=number, model='m', priority=5
            )
            whole.append((header, talk))
        await desk.put_all(whole)
    await desk.close()


def said(chance: random.Random, words: list[str], han: list[str]) -> str:
    """Some four hundred characters."""
    if chance.random() < 0.5:
        return ' '.join(chance.choices(words, k=70))
    return ''.join(chance.choices(han, k=chance.randint(100, 400))) + chance.choice(('队列', '模型', '。'))


PARTS = {'bytes': bytes_, 'smooth': smooth, 'watchers': watchers, 'idle': idle, 'leaving': leaving, 'search': search}


async def measure(names: list[str], folder: Path) -> None:
    """These parts, one after the other."""
    with product(folder) as desk:
        for name in names:
            await PARTS[name](desk)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(measure(sys.argv[1:] or list(PARTS), Path(place)))
