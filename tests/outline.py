"""How a page is built: one main, one h1, no level of headings left out, no wider than the window, one left edge."""

import contextlib

from playwright.async_api import Page, TimeoutError

# where the first thing that a page shows begins; the chat has panes instead
FIRST = {
    '/queue': '.page-body > .column',
    '/history': '.history-search .field',
    '/workers': '.machines',
    '/analytics': '.page-body > .column',
    '/settings': ':is(.settings-nav, .settings-parts)',
}
WIDTHS = (1440, 2560, 390)
FAULTS = """(first) => {
  const shown = (each) => each.checkVisibility() && !each.closest("dialog");
  const seen = (what) => [...document.querySelectorAll(what)].filter(shown);
  const left = (what) => Math.round(seen(what)[0]?.getBoundingClientRect().left ?? -1);
  const levels = seen(":is(h1, h2, h3, h4, h5, h6)").map((each) => Number(each.tagName[1]));
  const below = levels.slice(levels.indexOf(1));
  const title = left(".page-bar h1"), begin = first && left(first);
  return [
    document.querySelectorAll("main").length !== 1 && "not one main",
    levels.filter((level) => level === 1).length !== 1 && "not one h1: " + levels,
    below.some((level, at) => at && level > below[at - 1] + 1) && "a level of headings is left out: " + levels,
    first && title !== begin && `the title begins at ${title}, the content at ${begin}`,
    document.scrollingElement.scrollWidth > innerWidth && "it scrolls sideways",
  ].filter(Boolean);
}"""


async def faults(page: Page, path: str) -> list[str]:
    """What is wrong with it from a phone to a wall, each time once its panes have found their places."""
    found: list[str] = []
    for width in WIDTHS:
        await page.set_viewport_size({'width': width, 'height': 900})
        first = FIRST.get(path)
        with contextlib.suppress(TimeoutError):
            await page.wait_for_function(f'(first) => !({FAULTS})(first).length', arg=first)
        found += [f'at {width}: {fault}' for fault in await page.evaluate(FAULTS, first)]
    return found
