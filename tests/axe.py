"""What axe-core (in ``tests/vendor/axe``) finds wrong with a page for people who do not see it, or use no mouse."""

import functools
from pathlib import Path
from typing import Any

from playwright.async_api import Page

SOURCE = Path(__file__).parent / 'vendor' / 'axe' / 'axe.min.js'
GRAVE = {'serious', 'critical'}
STANDARDS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']
# what may differ between two languages and themes of one page
WORDS_AND_COLOURS = ['color-contrast', 'button-name', 'link-name', 'label', 'aria-input-field-name', 'aria-dialog-name']


async def faults(page: Page, rules: list[str] | None = None) -> list[str]:
    """The serious and critical violations of WCAG 2.2 AA, each with the first places; of all ``rules`` or of these."""
    if not await page.evaluate('"axe" in window'):
        await page.evaluate(_source())
    only = {'type': 'rule', 'values': rules} if rules else {'type': 'tag', 'values': STANDARDS}
    options: dict[str, Any] = {'resultTypes': ['violations'], 'preload': False, 'runOnly': only}
    found = await page.evaluate('options => axe.run(document, options)', options)
    return [
        f'{each["id"]} ({each["impact"]}): {each["help"]}: ' + ' | '.join(_place(node) for node in each['nodes'][:3])
        for each in found['violations']
        if each['impact'] in GRAVE
    ]


def _place(node: dict[str, Any]) -> str:
    why = (node['any'] or node['all'] or node['none'] or [{}])[0].get('message', '')
    return f'{node["html"][:160]} ({why[:160]})'


@functools.cache
def _source() -> str:
    return SOURCE.read_text(encoding='utf-8')
