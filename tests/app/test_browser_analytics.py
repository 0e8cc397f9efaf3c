"""The analytics page of the running product, in a browser."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from broker import client, protocol
from broker.endpoints import Endpoints
from tests.browser import launched

pytestmark = [pytest.mark.browser, pytest.mark.whole]


async def run_jobs(desk, count, model='demo'):
    """Put jobs through the queue of a running desk, and wait for their ends."""
    folder = desk.data_dir / 'run'
    endpoints = Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')})
    async with client.BrokerClient(endpoints) as broker, asyncio.timeout(20):
        ids = {client.new_job_id() for _ in range(count)}
        body = b'{"model": "%s", "input": "x"}' % model.encode()
        seq = (await broker.ping()).seq
        for job_id in ids:
            await broker.submit(protocol.Submit(job_id=job_id, kind='embed', model=model, body=body))
        async for item in broker.feed(seq):
            if isinstance(item, protocol.FactOut) and isinstance(item.fact, client.facts.JobEnded):
                ids.discard(item.fact.job_id)
            if not ids:
                return


@pytest.fixture
async def chromium(chromium_path):
    async with launched(chromium_path) as browser:
        yield browser


async def test_figures_and_charts_follow_the_queue_in_both_languages_and_fit_every_width(corral, chromium):
    desk = corral('--engine', 'demo')
    context = await chromium.new_context(locale='en-US', viewport={'width': 1440, 'height': 900})
    page = await context.new_page()
    wrong: list[str] = []
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('console', lambda message: wrong.append(message.text) if message.type == 'error' else None)

    await page.goto(f'{desk.url}/analytics')
    await expect(page.get_by_role('heading', name='No job has ended yet')).to_be_visible()
    await expect(page.locator('.charts')).to_be_hidden()

    await run_jobs(desk, 4)
    total = page.locator('.tile').filter(has_text='Jobs ended').locator('.figure')
    await expect(total).to_have_text('4')
    await expect(page.locator('.tile').filter(has_text='Success rate').locator('.figure')).to_have_text('100%')
    outcomes = page.get_by_role('img', name='Jobs per minute')
    await expect(outcomes).to_contain_text('Completed')
    await page.evaluate("document.querySelectorAll('.live-chart svg').forEach((svg) => (svg.kept = true))")

    await run_jobs(desk, 2)
    await expect(total).to_have_text('6')
    await expect(page.get_by_role('cell', name='demo', exact=True)).to_be_visible()
    await page.get_by_role('radio', name='24 h').click()
    await expect(page.get_by_role('radio', name='24 h')).to_have_attribute('aria-checked', 'true')
    await page.get_by_role('button', name=re.compile('Language')).click()
    await expect(page.get_by_role('img', name='每分钟任务数')).to_contain_text('已完成')
    await expect(page.locator('.tile').filter(has_text='已结束的任务').locator('.figure')).to_have_text('6')
    kept = await page.evaluate("[...document.querySelectorAll('.live-chart svg')].filter((svg) => svg.kept).length")
    assert kept == 2, 'the charts were rebuilt, which flickers'

    await page.reload()
    await expect(page.locator('.tile').filter(has_text='已结束的任务').locator('.figure')).to_have_text('6')
    await expect(page.get_by_role('img', name='每分钟任务数')).to_contain_text('已完成')
    assert wrong == []
    for width, scheme in ((390, 'dark'), (768, 'light'), (1440, 'dark')):
        await check_fit(chromium, desk.url, width, scheme)


async def check_fit(chromium, url, width, scheme):
    """At this width nothing scrolls sideways, and the charts have the colours of the theme."""
    size = {'width': width, 'height': 800}
    context = await chromium.new_context(locale='en-US', viewport=size, color_scheme=scheme)
    page = await context.new_page()
    await page.goto(f'{url}/analytics')
    chart = page.get_by_role('img', name='Jobs per minute')
    await expect(chart).to_contain_text('Completed')
    inside = await page.evaluate("document.querySelector('.page-body').scrollWidth <= innerWidth")
    assert inside, f'the page scrolls sideways at {width} px'
    box = await chart.bounding_box()
    assert box['width'] > 250 and box['x'] + box['width'] <= width
    grey = await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink2').trim()")
    assert grey in await chart.inner_html(), 'the chart does not use the colours of the theme'
    await context.close()
