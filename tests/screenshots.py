"""Pictures of every page in both languages, both themes and two widths, of a Corral that has something to show.

``python -m tests.screenshots FOLDER [--only queue,chat] [--url http://127.0.0.1:8080]`` starts one with the demo
engine, fills it, takes the pictures and ends it. ``--url`` takes them of one that runs already, as it is. A new view is
one line in ``VIEWS``.
"""

import argparse
import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, Error, Page
from playwright.async_api import TimeoutError as Late

from tests import furnished
from tests.browser import launched
from tests.conftest import BROWSERS, starter

LANGUAGES = ('zh', 'en')
THEMES = ('light', 'dark')
SIZES = {1440: 900, 390: 844}
AT_ONCE = 2  # pages
# nothing in sight is still on its way; what is further down may come when one scrolls there
SETTLED = """() => ![...document.querySelectorAll(".content .skeleton")].some((each) =>
  each.checkVisibility() && each.getBoundingClientRect().top < innerHeight)"""
DRAWN = '() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))'


@dataclass(frozen=True)
class View:
    """What is to be seen: an address, and what is done there before the picture."""

    name: str
    path: str
    do: Callable[[Page], Awaitable[object]] | None = None
    undo: Callable[[Page], Awaitable[object]] | None = None


async def _palette(page: Page) -> None:
    await page.keyboard.press('Control+k')
    await page.locator('dialog.palette [role=option]').first.wait_for()


async def _sheet(page: Page) -> None:
    await page.evaluate('document.activeElement?.blur()')
    await page.keyboard.press('?')


async def _escape(page: Page) -> None:
    await page.keyboard.press('Escape')


VIEWS = (
    View('chat', '/chat/{conversation}'),
    View('chat-new', '/chat'),
    View('queue', '/queue'),
    View('queue-waiting', '/queue?state=waiting'),
    View('job-failed', '/jobs/{failed}'),
    View('job-done', '/jobs/{done}'),
    View('history', '/history'),
    View('workers', '/workers'),
    View('analytics', '/analytics'),
    View('settings', '/settings'),
    View('palette', '/queue', _palette, _escape),
    View('shortcuts', '/queue', _sheet, _escape),
    View('nowhere', '/no/such/page'),
)


async def shoot(url: str, folder: Path, only: set[str], *, furnish: bool) -> int:
    """Take the pictures, after furnishing the place; the number of them."""
    wanted = [(view, lang) for view in VIEWS if not only or view.name in only for lang in LANGUAGES]
    async with launched(chromium()) as browser:
        ids = await (furnished.furnish(browser, url) if furnish else furnished.ids_of(url))
        places = asyncio.Semaphore(AT_ONCE)

        async def one(view: View, lang: str) -> None:
            async with places:
                address = url + view.path.format(**ids)
                try:
                    await _view(browser, address, view, lang, folder)
                except Error:  # a busy machine: the page had to begin anew
                    await _view(browser, address, view, lang, folder)

        await asyncio.gather(*(one(view, lang) for view, lang in wanted))
    return len(wanted) * len(THEMES) * len(SIZES)


async def _view(browser: Browser, address: str, view: View, lang: str, folder: Path) -> None:
    context = await browser.new_context(viewport={'width': 1440, 'height': 900}, reduced_motion='reduce')
    await context.add_cookies([{'name': 'corral_lang', 'value': lang, 'url': address}])
    page = await context.new_page()
    page.set_default_timeout(60_000)  # a busy machine
    await page.goto(address)
    await page.locator('.status').wait_for()
    for width, height in SIZES.items():
        await page.set_viewport_size({'width': width, 'height': height})
        with contextlib.suppress(Late):  # then the skeletons are what there is to see
            await page.wait_for_function(SETTLED, timeout=4000)
        await page.wait_for_timeout(500)  # charts grow, panes fold
        if view.do:
            await view.do(page)
        for theme in THEMES:
            await page.evaluate(f'corral.setTheme({theme!r})')
            await page.evaluate(DRAWN)
            await page.wait_for_timeout(300)  # colours change over
            await page.screenshot(path=folder / f'{view.name}-{lang}-{theme}-{width}.png')
        if view.undo:
            await view.undo(page)
    await context.close()


def chromium() -> str:
    """The path of the browser."""
    return next(filter(None, map(shutil.which, BROWSERS)), '') or 'chromium'


def main() -> None:
    """The command."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument('folder', type=Path)
    asked.add_argument('--only', default='', help='names of views: ' + ', '.join(view.name for view in VIEWS))
    asked.add_argument('--url', default='')
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    only = set(filter(None, given.only.split(',')))
    with contextlib.ExitStack() as stack:
        url = given.url.rstrip('/')
        if not url:
            data = stack.enter_context(tempfile.TemporaryDirectory())
            url = stack.enter_context(starter(Path(data)))('--engine', 'demo').url
        count = asyncio.run(shoot(url, given.folder, only, furnish=not given.url))
    print(f'{count} pictures in {given.folder} after {time.monotonic() - began:.0f} s')


if __name__ == '__main__':
    main()
