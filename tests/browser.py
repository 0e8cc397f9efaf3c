"""A headless Chromium for the browser tests."""

import contextlib
from collections.abc import AsyncIterator

from playwright.async_api import Browser, async_playwright


@contextlib.asynccontextmanager
async def launched(chromium_path: str) -> AsyncIterator[Browser]:
    """The browser at this path, until the block ends."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=chromium_path, args=['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']
        )
        yield browser
        await browser.close()
