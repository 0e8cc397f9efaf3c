"""A headless Chromium for the browser tests; the fixture ``chromium`` is the one that all tests of a process share."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright, expect

# They share one event loop, too: a Chromium belongs to the loop that it was started in
MARKS = [pytest.mark.browser, pytest.mark.asyncio(loop_scope='session')]

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
