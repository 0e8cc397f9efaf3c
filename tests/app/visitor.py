"""Somebody at the running desk with a browser of their own, and the stand-in for Ollama, for the tests of chatting."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import apsw
import httpx
from playwright.async_api import Page, expect

from app import i18n
from tests import browser
from tests.conftest import PATIENCE_S, ROOT, Corral, starter, wait_for

TAGS = {'en': 'en-US', 'zh': 'zh-CN'}
QUESTIONS = {'en': 'What is a corral?', 'zh': '什么是畜栏？'}


@contextlib.contextmanager
def product(folder: Path, *flags: str, toml: str = '') -> Iterator[Corral]:
    """The product, running for as long as the block."""
    folder.mkdir(exist_ok=True)
    (folder / 'corral.toml').write_text(toml)
    with starter(folder) as start:
        yield start(*flags)


@contextlib.contextmanager
def standin() -> Iterator[str]:
    """The stand-in for Ollama, as a process of its own."""
    command = [sys.executable, '-m', 'tests.standin', '--port', '0', '--faults']
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield json.loads(process.stdout.readline())['url']
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def teach(url: str, model: str, **script: object) -> None:
    """Give the stand-in a model that does what the script says."""
    httpx.post(f'{url}/control/models', json={model: script}).raise_for_status()


def pace(url: str, model: str, chars_per_s: float) -> None:
    """How fast it talks from now on, also in the midst of an answer; 0 is as fast as can be."""
    httpx.post(f'{url}/control/pace', json={model: chars_per_s}).raise_for_status()


@contextlib.asynccontextmanager
async def visitors(tabs: browser.Tabs) -> AsyncIterator[Callable[..., Awaitable['Visitor']]]:
    """A function that opens the desk as somebody with a browser of their own; no page may log an error."""
    taken, wrong = [], []

    async def open_desk(desk: Corral, *, lang: str = 'en', path: str = '/chat', **options: object) -> Visitor:
        tab = await tabs.take(locale=TAGS[lang], permissions=['clipboard-read'], **options)
        taken.append((tab, desk))
        someone = Visitor(tab.page, desk, lang)
        await someone.go(path)
        return someone

    yield open_desk
    for tab, desk in taken:
        wrong += await tab.give_back(desk.url)
    assert wrong == []


class Visitor:
    """Somebody at the desk. ``say`` is what the desk says, in their language."""

    def __init__(self, page: Page, desk: Corral, lang: str) -> None:
        self.page, self.desk, self.lang = page, desk, lang
        self.question = QUESTIONS[lang]
        self.box = page.locator('.composer textarea').last  # one above it may hold a message that is sent next
        self.answers = page.locator('.msg.answer')
        self.send = page.locator('.composer-send')

    def say(self, msgid: str, **values: object) -> str:
        """A text of the desk."""
        return i18n.tr(self.lang, msgid, **values)

    def button(self, msgid: str, place=None):
        """The button of this name, on the page or in a part of it."""
        return (place or self.page).get_by_role('button', name=self.say(msgid), exact=True)

    def item(self, msgid: str):
        """An item of the menu that is open."""
        return self.page.get_by_role('menuitem', name=self.say(msgid), exact=True)

    async def go(self, path: str) -> None:
        """Open an address."""
        await self.page.goto(self.desk.url + path)
        await expect(self.box).to_be_editable()

    async def speak(self, lang: str) -> None:
        """From the next page on, use the desk in another language."""
        self.lang = lang
        cookie = {'name': i18n.COOKIE, 'value': lang, 'url': self.desk.url}
        await self.page.context.add_cookies([cookie])

    async def ask(self, question: str = '') -> None:
        """Write a message and send it."""
        await self.box.fill(question or self.question)
        await self.box.press('Enter')

    async def pick(self, model: str) -> None:
        """Pick a model by its name."""
        await self.page.locator('.composer-model').click()
        await self.page.get_by_label(self.say('Search models')).fill(model)
        await self.page.get_by_role('menuitemradio', name=model).click()

    async def begun(self, length: int = 20) -> str:
        """Wait until so much of the last answer is there, and return what is there."""
        prose = self.answers.last.locator('.prose')
        await expect(prose).to_have_text(re.compile(f'.{{{length}}}', re.DOTALL))
        return await prose.inner_text()

    async def ended(self) -> str:
        """Wait for the end of the last answer, and return its text as the copy button gives it."""
        answer = self.answers.last
        await expect(answer.locator('.meta-do')).to_be_visible()
        await self.button('Copy', answer.locator('.meta')).click()
        return await self.page.evaluate('navigator.clipboard.readText()')

    @property
    def conversation(self) -> str:
        """The id in the address."""
        return self.page.url.rpartition('/')[2]

    async def addressed(self) -> str:
        """Wait until the conversation has its address."""
        await self.page.wait_for_url(re.compile('/chat/[0-9a-f]{32}$'))
        return self.conversation

    async def stored(self, role: str = 'assistant') -> tuple[str, str, int, int]:
        """The last message of a role in ``desk.db``, once it is not on its way: state, content, starts, losses."""
        row = await asyncio.to_thread(wait_for, lambda: self._row(role), PATIENCE_S, 'the message is stored')
        stats = json.loads(row[2])
        return row[0], row[1], stats.get('starts', 0), stats.get('losses', 0)

    def _row(self, role: str) -> tuple[str, str, str] | None:
        connection = apsw.Connection(str(self.desk.data_dir / 'desk.db'), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            row = connection.execute(
                'SELECT state, content, stats FROM messages WHERE conversation_id = ? AND role = ? '
                'ORDER BY ordinal DESC LIMIT 1',
                (self.conversation, role),
            ).fetchone()
            return row if row is not None and row[0] != 'pending' else None
        finally:
            connection.close()
