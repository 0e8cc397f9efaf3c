"""What axe-core (in ``tests/vendor/axe``) finds wrong with a page for people who do not see it, or use no mouse."""

import functools
from pathlib import Path
from typing import Any

from playwright.async_api import Page

SOURCE = Path(__file__).parent / 'vendor' / 'axe' / 'axe.min.js'
GRAVE = {'serious', 'critical'}


async def faults(page: Page, *, only: str = '') -> list[str]:
    """The serious and critical violations, each with the first places; ``only`` names a single rule to look for."""
    if not await page.evaluate('"axe" in window'):
        await page.evaluate(_source())
    options: dict[str, Any] = {'resultTypes': ['violations']}
    if only:
        options['runOnly'] = {'type': 'rule', 'values': [only]}
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
