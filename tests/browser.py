"""A headless Chromium for the browser tests; the fixture ``chromium`` is the one that all tests of a process share."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

# They share one event loop, too: a Chromium belongs to the loop that it was started in
MARKS = [pytest.mark.browser, pytest.mark.asyncio(loop_scope='session')]

# What Chromium says by itself where a test takes away its network, or leaves a page that is just connecting
OWN_WORDS = ('net::ERR_INTERNET_DISCONNECTED', 'closed before the connection is established')

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
