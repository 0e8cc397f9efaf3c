"""What the tests of the pages share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from app.board import Board
from tests.app.news import T0, News
from tests.browser import Tabs, launched


@pytest_asyncio.fixture(scope='session', loop_scope='session')
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    """A Chromium, for tests that have ``browser.MARKS``; each opens contexts of its own, and closes them."""
    async with launched(chromium_path) as browser:
        yield browser


@pytest_asyncio.fixture(scope='module', loop_scope='session')
async def tabs(chromium: Browser) -> AsyncIterator[Tabs]:
    """Tabs of it, for tests that visit one desk after each other."""
    tabs = Tabs(chromium)
    yield tabs
    await tabs.close()


@pytest.fixture
def news() -> News:
    """What a broker tells, made by hand."""
    return News()


@pytest.fixture
def board() -> Board:
    """One that nothing has been told yet."""
    return Board(clock=lambda: T0)
