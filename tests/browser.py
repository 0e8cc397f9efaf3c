"""A headless Chromium for the browser tests; the fixture ``chromium`` is the one that all tests of a process share."""

import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

# They share one event loop, too: a Chromium belongs to the loop that it was started in
MARKS = [pytest.mark.browser, pytest.mark.asyncio(loop_scope='session')]

# What Chromium says by itself where a test takes away its network, or leaves a page that is just connecting
OWN_WORDS = ('net::ERR_INTERNET_DISCONNECTED', 'closed before the connection is established')

LIVELY = {'reduced_motion': 'no-preference'}  # every frame of a movement is drawn by the processor: not for every test

expect.set_options(timeout=20_000)  # what is expected comes at once, except where the machine is busy


@contextlib.asynccontextmanager
async def launched(chromium_path: str) -> AsyncIterator[Browser]:
    """The browser at this path, until the block ends."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=chromium_path, args=['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']
        )
        yield browser
        await browser.close()


# A browser may still report what happened to an element just before it was taken away: here it always does
AFTERLIFE = """(() => {
  const { removeChild } = Node.prototype;
  const late = { scroll: Event, close: Event, toggle: Event, focusout: FocusEvent, lostpointercapture: PointerEvent };
  Node.prototype.removeChild = function (child) {
    const gone = removeChild.call(this, child);
    if (gone instanceof Element) requestAnimationFrame(() => {
      for (const each of gone.isConnected ? [] : [gone, ...gone.querySelectorAll('*')])
        for (const [name, Kind] of Object.entries(late)) each.dispatchEvent(new Kind(name));
    });
    return gone;
  };
})();"""


async def listen(page: Page, wrong: list[str]) -> None:
    """Add to ``wrong`` what goes wrong on the page from its next load on, as it goes wrong."""
    await page.add_init_script(AFTERLIFE)
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('console', lambda message: wrong.append(message.text) if _complains(message) else None)


def _complains(message: ConsoleMessage) -> bool:
    return message.type == 'error' and not any(words in message.text for words in OWN_WORDS)


@contextlib.asynccontextmanager
async def visiting(chromium: Browser, **options: object) -> AsyncIterator[Page]:
    """A page that must end without an error in its console."""
    context = await chromium.new_context(**{'locale': 'en-US', 'viewport': {'width': 1440, 'height': 900}, **options})
    page = await context.new_page()
    wrong: list[str] = []
    await listen(page, wrong)
    yield page
    await context.close()
    wrong = [text for text in wrong if 'status of 404' not in text]
    assert not wrong, wrong


class Tabs:
    """Tabs of one browser that every test finds as if they were new, and that cost a third of new ones.

    What a tab has loaded before is compiled already. Between two tests it shows no page, and keeps neither cookies nor
    anything else that the desk has stored.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._idle: dict[str, list[Tab]] = {}

    async def take(self, **options: object) -> 'Tab':
        """One of a context with these options, until it is given back; nothing moves on it, except ``LIVELY``."""
        size = {'width': 1440, 'height': 900}
        options = {'locale': 'en-US', 'viewport': size, 'reduced_motion': 'reduce', **options}
        idle = self._idle.setdefault(repr(sorted(options.items())), [])
        if idle:
            return idle.pop()
        context = await self._chromium.new_context(**options)
        tab = Tab(await context.new_page(), idle)
        await listen(tab.page, tab.wrong)
        return tab

    @contextlib.asynccontextmanager
    async def visiting(self, url: str, **options: object) -> AsyncIterator[Page]:
        """A page for a visit to the desk at this address, which must end without an error in its console."""
        tab = await self.take(**options)
        try:
            yield tab.page
        except BaseException:
            await tab.page.context.close()
            raise
        wrong = [text for text in await tab.give_back(url) if 'status of 404' not in text]
        assert not wrong, wrong

    async def close(self) -> None:
        """Close those that nobody uses."""
        for tab in itertools.chain(*self._idle.values()):
            await tab.page.context.close()


class Tab:
    """A page with a context of its own."""

    def __init__(self, page: Page, idle: list['Tab']) -> None:
        self.page = page
        self.wrong: list[str] = []
        self._idle = idle
        self._size = page.viewport_size

    async def give_back(self, url: str) -> list[str]:
        """Leave the desk at this address, which forgets all; returns what went wrong until then."""
        wrong = [*self.wrong]
        page, context = self.page, self.page.context
        await context.set_offline(False)
        await page.goto(f'{url}/static/tokens.css')  # of the same server, and runs nothing
        await page.evaluate('localStorage.clear(); sessionStorage.clear()')
        await context.clear_cookies()
        await page.set_viewport_size(self._size)
        await page.mouse.move(0, 0)  # where no page has anything to point to
        self.wrong.clear()
        self._idle.append(self)
        return wrong
