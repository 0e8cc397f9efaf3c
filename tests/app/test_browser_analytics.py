"""The pages about the past of the running product, in a browser."""

import asyncio
import csv
import json
import re
import time

import pytest
from playwright.async_api import expect

from app.week import Week
from broker import client, protocol
from broker.endpoints import Endpoints
from tests import axe, browser

pytestmark = [*browser.MARKS, pytest.mark.whole]


async def run_jobs(desk, count, model='demo'):
    """Put jobs through the queue of a running desk, and wait for their ends."""
    folder = desk.data_dir / 'run'
    endpoints = Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')})
    async with client.BrokerClient(endpoints) as broker, asyncio.timeout(20):
        ids = {client.new_job_id() for _ in range(count)}
        body = b'{"model": "%s", "input": "x"}' % model.encode()
        seq = (await broker.ping()).seq
        for job_id in ids:
            await broker.submit(protocol.Submit(job_id=job_id, kind='embed', model=model, body=body, user='ana'))
        async for item in broker.feed(seq):
            if isinstance(item, protocol.FactOut) and isinstance(item.fact, client.facts.JobEnded):
                ids.discard(item.fact.job_id)
            if not ids:
                return


def listen(page):
    """What goes wrong on a page, as it goes wrong."""
    wrong: list[str] = []
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('console', lambda message: wrong.append(message.text) if message.type == 'error' else None)
    return wrong


async def kept(download, folder):
    """The text of a file that the browser saved."""
    target = folder / download.suggested_filename
    await download.save_as(target)
    return target


async def test_the_past_of_the_queue_in_both_languages(corral, chromium, tmp_path):
    desk = corral('--engine', 'demo')
    context = await chromium.new_context(locale='en-US', viewport={'width': 1440, 'height': 900})
    page = await context.new_page()
    wrong = listen(page)
    await page.goto(f'{desk.url}/analytics?range=1h')
    await expect(page.get_by_role('heading', name='No job has ended yet')).to_be_visible()
    await expect(page.locator('.figures-all')).to_be_hidden()
    await run_jobs(desk, 4)
    await figures_follow(page, desk)
    await it_stands_in_the_address(page)
    await a_chart_is_a_table_and_a_file(page, tmp_path)
    await all_in_chinese(page)
    await the_week(page, desk)
    await the_sql_box(page, desk, tmp_path)
    assert wrong == []
    for width, scheme in ((390, 'dark'), (1440, 'light')):
        await check_fit(chromium, desk.url, width, scheme)


async def figures_follow(page, desk):
    total = page.locator('[data-tile=total] .figure')
    await expect(total).to_have_text('4')
    await expect(page.locator('[data-tile=success] .figure')).to_have_text('100%')
    await expect(page.get_by_role('img', name='Jobs per minute')).to_contain_text('Completed')
    await page.evaluate("document.querySelectorAll('.live-chart svg').forEach((svg) => (svg.kept = true))")
    await run_jobs(desk, 2)
    await expect(total).to_have_text('6')
    kept_ones = "[...document.querySelectorAll('.live-chart svg')].filter((svg) => svg.kept).length"
    assert await page.evaluate(kept_ones) >= 2, 'the charts were rebuilt, which flickers'
    await page.get_by_role('heading', name='By model', exact=True).scroll_into_view_if_needed()
    await expect(
        page.get_by_role('region', name='By model', exact=True).get_by_role('cell', name='demo')
    ).to_be_visible()


async def it_stands_in_the_address(page):
    await page.get_by_role('radio', name='24 h').click()
    await page.get_by_role('switch').click()
    of_user = page.get_by_role('group', name='Filters').get_by_role('button', name=re.compile('^User'))
    await of_user.click()
    await page.get_by_role('menuitemradio', name='ana').click()
    await page.wait_for_url('**/analytics?user=ana&compare=1')
    await expect(of_user).to_contain_text('ana')
    await page.reload()
    await expect(page.locator('[data-tile=total] .figure')).to_have_text('6')
    await expect(page.get_by_role('switch')).to_have_attribute('aria-checked', 'true')
    await page.get_by_role('button', name='Clear the filters').click()
    await page.wait_for_url('**/analytics?compare=1')


async def a_chart_is_a_table_and_a_file(page, folder):
    card = page.locator('.chart-card').filter(has=page.get_by_role('heading', name='Jobs per minute'))
    menu = card.get_by_role('button', name=re.compile('^More'))
    await menu.click()
    await page.get_by_role('menuitem', name='Show as a table').click()
    await expect(card.get_by_role('columnheader', name='Completed')).to_be_visible()
    for item, ending in (('Save the data (CSV)', '.csv'), ('Save as a picture (PNG)', '.png')):
        await menu.click()
        async with page.expect_download() as saved:
            await page.get_by_role('menuitem', name=item).click()
        path = await kept(await saved.value, folder)
        assert path.name == f'corral-throughput{ending}'
    assert path.read_bytes().startswith(b'\x89PNG')
    lines = list(csv.reader((folder / 'corral-throughput.csv').read_text('utf-8-sig').splitlines()))
    assert (
        lines[0][:4] == ['Time', 'Completed', 'Failed', 'Cancelled'] and sum(float(line[1]) for line in lines[1:]) > 0
    )
    await page.get_by_role('button', name='Export').click()
    async with page.expect_download() as saved:
        await page.get_by_role('menuitem', name='JSON').click()
    assert len(json.loads((await kept(await saved.value, folder)).read_text())) == 6


async def all_in_chinese(page):
    await page.get_by_role('button', name=re.compile('^Language')).click()
    await expect(page.locator('[data-tile=total] h2')).to_have_text('已结束的任务')
    await expect(page.get_by_role('columnheader', name='已完成').first).to_be_visible()
    await expect(page.get_by_role('radio', name='24 小时')).to_have_attribute('aria-checked', 'true')


async def the_week(page, desk):
    await page.get_by_role('link', name='周报').click()
    await page.get_by_role('link', name='下一周').click()
    week = Week.of(time.time())
    await page.wait_for_url(f'**/analytics/week?week={week}')
    await expect(page.get_by_role('heading', name=f'{week.year} 年第 {week.number} 周')).to_be_visible()
    await expect(page.locator('.week-lead')).to_contain_text('共结束 6 个任务')
    await page.emulate_media(media='print')
    await expect(page.locator('.rail')).to_be_hidden()
    await expect(page.locator('.page-bar')).to_be_hidden()
    assert len(await page.pdf(format='A4')) > 5000
    await page.emulate_media(media='screen')


async def the_sql_box(page, desk, folder):
    await page.goto(f'{desk.url}/analytics/sql?q=SELECT%20modell%0AFROM%20jobs_ended')
    await page.get_by_role('textbox', name='查询语句').press('Control+Enter')
    await expect(page.get_by_role('alert').filter(has_text='第 1 行第 8 列')).to_contain_text('modell')
    await expect(page.locator('.s-wrong')).to_have_text('modell')
    await page.get_by_role('textbox', name='查询语句').fill("SELECT range AS n, '=1' AS t FROM range(500)")
    await page.get_by_role('button', name='运行', exact=True).click()
    await expect(page.get_by_role('cell', name='0', exact=True)).to_be_visible()
    assert await page.locator('.sql-grid tbody tr').count() < 100, 'rows far below are in the page'
    async with page.expect_download() as saved:
        await page.get_by_role('button', name='存为 CSV').click()
    lines = (await kept(await saved.value, folder)).read_text('utf-8-sig').splitlines()
    assert len(lines) == 501 and lines[1] == "0,'=1"
    await page.get_by_role('textbox', name='查询语句').fill('SELECT count(*) FROM range(1000000000000)')
    await page.get_by_role('button', name='运行', exact=True).click()
    await page.get_by_role('button', name='停止').click()
    await expect(page.get_by_role('alert').filter(has_text='已停止')).to_be_visible()
    await page.get_by_role('button', name='我的查询').click()
    await expect(page.get_by_role('menuitem').filter(has_text='range(500)')).to_be_visible()


async def check_fit(chromium, url, width, scheme):
    """At this width nothing scrolls sideways, and the charts have the colours of the theme."""
    size = {'width': width, 'height': 800}
    context = await chromium.new_context(locale='en-US', viewport=size, color_scheme=scheme)
    page = await context.new_page()
    for place in ('/analytics/week', '/analytics/sql', '/analytics') if width < 640 else ('/analytics',):
        await page.goto(url + place)
        await expect(page.locator('.week, .sql-box, [data-tile]').first).to_be_visible()
        inside = await page.evaluate("document.querySelector('.page-body').scrollWidth <= innerWidth")
        assert inside, f'{place} scrolls sideways at {width} px'
        if width < 640 and place != '/analytics':  # which is looked at with all other pages
            assert await axe.faults(page) == []
    chart = page.get_by_role('img', name='Jobs per minute')
    await page.locator('.chart-card').first.scroll_into_view_if_needed()  # until then it is not even asked for
    await expect(chart).to_contain_text('Completed')
    box = await chart.bounding_box()
    assert box['width'] > 250 and box['x'] + box['width'] <= width
    grey = await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink2').trim()")
    assert grey in await chart.inner_html(), 'the chart does not use the colours of the theme'
    await context.close()
