"""The pages about the past of the running product, in a browser."""

import asyncio
import csv
import json
import re
import time

import pytest
from playwright.async_api import expect

from app.charts.week import Week
from broker import client, protocol
from broker.endpoints import Endpoints
from tests import axe, browser

pytestmark = [*browser.MARKS, pytest.mark.whole]
NARROW = "document.querySelector('.page-body').scrollWidth <= innerWidth"


async def run_jobs(desk, count, model='demo'):
    """Put jobs through the queue of a running desk, and wait for their ends."""
    folder = desk.data_dir / 'run'
    endpoints = Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')})
    async with client.BrokerClient(endpoints) as broker, asyncio.timeout(60):
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


async def kept(download, folder):
    """The text of a file that the browser saved."""
    target = folder / download.suggested_filename
    await download.save_as(target)
    return target


async def test_the_past_of_the_queue_in_both_languages(corral, chromium, tmp_path):
    """One visit: every page is reached by a click, since loading one anew costs more than all else here."""
    desk = corral('--engine', 'demo')
    context = await chromium.new_context(
        locale='en-US', viewport={'width': 1200, 'height': 800}, color_scheme='light', reduced_motion='reduce'
    )
    page = await context.new_page()
    wrong: list[str] = []
    await browser.listen(page, wrong)
    await page.goto(f'{desk.url}/analytics?range=1h&user=ana&compare=1')
    await expect(page.get_by_role('heading', name='No job has ended yet')).to_be_visible()
    await expect(page.locator('.figures-all')).to_be_hidden()
    await run_jobs(desk, 4)
    await figures_follow(page, desk)
    await it_stands_in_the_address(page)
    await a_chart_is_a_table_and_a_file(page, tmp_path)
    await another_order_is_played(page, tmp_path)
    await all_in_chinese(page)
    await the_week(page)
    await the_sql_box(page, tmp_path)
    await it_fits(page)
    await context.close()
    assert wrong == []


async def figures_follow(page, desk):
    total = page.locator('[data-tile=total] .figure')
    await expect(total).to_have_text('4')
    await expect(page.locator('[data-tile=success] .figure')).to_have_text('100%')
    chart = page.get_by_role('img', name='Jobs per minute')
    await expect(chart).to_contain_text('Completed')
    assert (await chart.bounding_box())['width'] > 500
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
    of_user = page.get_by_role('group', name='Filters').get_by_role('button', name=re.compile('^User'))
    await expect(of_user).to_contain_text('ana')
    await expect(page.get_by_role('switch')).to_have_attribute('aria-checked', 'true')
    await page.get_by_role('radio', name='24 h').click()
    await page.wait_for_url('**/analytics?user=ana&compare=1')
    steps = await page.evaluate("document.querySelector('.range-bar').old = history.length")
    await page.get_by_role('navigation', name='Main').get_by_role('link', name='Analytics').click()
    await page.wait_for_function("document.querySelector('.range-bar')?.old === undefined")
    await page.get_by_role('switch').click()
    await page.wait_for_url('**/analytics?user=ana')
    assert await page.evaluate('history.length') == steps, 'the click on the rail left the address that was shown'
    await page.get_by_role('button', name='Clear the filters').click()
    await page.wait_for_url('**/analytics')
    await of_user.click()
    await page.get_by_role('menuitemradio', name='ana').click()
    await page.wait_for_url('**/analytics?user=ana')
    await expect(page.locator('[data-tile=total] .figure')).to_have_text('6')


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


async def another_order_is_played(page, folder):
    panel = page.get_by_role('region', name='What another order would have done')
    await panel.scroll_into_view_if_needed()
    await panel.get_by_text('Ask what other machines').click()
    await panel.get_by_label('Models in memory').fill('2')
    await panel.get_by_role('button', name='Play the jobs once more').click()
    await expect(panel).to_contain_text('6 jobs that ended')
    await expect(panel).to_contain_text('As if 2 models fitted into memory at once.')
    table = page.get_by_role('region', name='Waits by order').first
    await expect(table.locator('tbody tr')).to_have_count(5)
    await expect(table.locator('tbody tr').first).to_contain_text('As it happened')
    async with page.expect_download() as saved:
        await table.get_by_role('button', name='Save the data (CSV)').click()
    text = (await kept(await saved.value, folder)).read_text('utf-8-sig')
    assert text.startswith('Order,Half within (s),95% within (s),Longest wait (s),Model loads,')
    chart = page.get_by_role('img', name='Wait by priority')
    await chart.scroll_into_view_if_needed()
    await expect(chart).to_contain_text('Normal')


async def all_in_chinese(page):
    await page.get_by_role('button', name=re.compile('^Language')).click()
    await expect(page.get_by_role('region', name='各顺序的等待时间').first.locator('tbody')).to_contain_text('实际情况')
    await page.locator('[data-tile=total]').scroll_into_view_if_needed()  # what nobody sees is asked for later
    await expect(page.locator('[data-tile=total] h2')).to_have_text('已结束的任务')
    await expect(page.get_by_role('columnheader', name='已完成').first).to_be_visible()
    await expect(page.get_by_role('radio', name='24 小时')).to_have_attribute('aria-checked', 'true')


async def the_week(page):
    await page.get_by_role('link', name='周报').click()
    await page.set_viewport_size({'width': 390, 'height': 800})  # from here on it is a phone, and night
    await page.emulate_media(color_scheme='dark')
    week = Week.of(time.time())
    await page.get_by_role('link', name='上一周').click()  # in the first week of all that one is shown at once
    await page.wait_for_url(f'**/analytics/week?week={week.moved(-1)}')
    await page.get_by_role('link', name='下一周').click()
    await page.wait_for_url(f'**/analytics/week?week={week}')
    await expect(page.get_by_role('heading', name=f'{week.year} 年第 {week.number} 周')).to_be_visible()
    await expect(page.locator('.week-lead')).to_contain_text('共结束 6 个任务')
    await page.emulate_media(media='print')
    await expect(page.locator('.rail')).to_be_hidden()
    await expect(page.locator('.page-bar')).to_be_hidden()
    assert len(await page.pdf(format='A4')) > 5000
    await page.emulate_media(media='screen')
    await fits_a_phone(page)


async def the_sql_box(page, folder):
    await page.evaluate("emitEvent('sub_pages_navigate', '/analytics/sql?q=SELECT%20modell%0AFROM%20jobs_ended')")
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
    await page.keyboard.press('Escape')
    await fits_a_phone(page)


async def it_fits(page):
    """On a phone nothing scrolls sideways, and the charts have the colours of the other theme."""
    await page.get_by_role('link', name='概览').click()
    chart = page.get_by_role('img', name='每分钟任务数')
    await page.locator('.chart-card').first.scroll_into_view_if_needed()  # until then it is not even asked for
    await expect(chart).to_contain_text('已完成')
    assert await page.evaluate(NARROW), 'the page scrolls sideways'
    box = await chart.bounding_box()
    assert 250 < box['width'] < 390 and box['x'] + box['width'] <= 390
    grey = await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink2').trim()")
    assert grey == '#b0afa9' and grey in await chart.inner_html(), 'the chart does not use the colours of the theme'


async def fits_a_phone(page):
    assert await page.evaluate(NARROW), 'the page scrolls sideways'
    assert await axe.faults(page) == []  # /analytics is looked at with all other pages
