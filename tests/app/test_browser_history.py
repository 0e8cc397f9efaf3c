"""The history and the settings of the running product, in a browser, in both languages."""

import asyncio
import json
import re
import time

import httpx
import pytest
from playwright.async_api import Route, expect

from broker import client, protocol
from broker.endpoints import Endpoints
from broker.job import FINAL
from tests import browser

pytestmark = [*browser.MARKS, pytest.mark.whole]

ROWS = '**/desk/jobs/rows?*'


def body(text):
    return json.dumps({'messages': [{'role': 'user', 'content': text}]}).encode()


async def fill(desk):
    """Three embeddings, a failed chat, and a cancelled one: all ended when it returns."""
    folder = desk.data_dir / 'run'
    endpoints = Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')})
    async with client.BrokerClient(endpoints) as broker, asyncio.timeout(30):
        made = [
            {'kind': 'embed', 'model': 'demo', 'body': b'{"model":"demo","input":"a horse %d"}' % n} for n in range(3)
        ]
        made.append({'kind': 'chat', 'model': 'nobody:1b', 'body': body('为什么天空是蓝色的？'), 'user': 'Zoë'})
        made.append({'kind': 'chat', 'model': 'nobody:1b', 'body': body('<img src=x onerror=alert(1)>')})
        ids = [client.new_job_id() for _ in made]
        for job_id, fields in zip(ids, made, strict=True):
            late = {'deadline_at': time.time() + 0.5} if 'user' in fields else {}
            await broker.submit(protocol.Submit(job_id=job_id, **fields, **late))
        await broker.cancel(ids[-1])
        seq = 0
        async for item in broker.feed(seq):
            if isinstance(item, protocol.FactOut) and isinstance(item.fact, client.facts.JobEnded):
                ids.remove(item.fact.job_id)
            if not ids:
                found = await broker.list_jobs(protocol.ListJobs())
                assert all(job.state in FINAL for job in found.jobs)
                return


async def test_the_past_is_found_looked_into_done_again_and_taken_away_and_settings_change(corral, chromium):
    desk = corral('--engine', 'demo')
    await fill(desk)
    context = await chromium.new_context(locale='en-US', viewport={'width': 1440, 'height': 900})
    page = await context.new_page()
    wrong: list[str] = []
    await browser.listen(page, wrong)
    await look_through(page, desk.url)
    await take_away(desk.url)
    await change_settings(page, desk.url)
    await context.close()
    await on_a_phone(chromium, desk.url)
    assert wrong == []


async def look_through(page, url):
    """Filters, search, a job beside the table, and one done again."""
    await page.goto(f'{url}/history?state=dead')
    total, rows = page.locator('.history-total'), page.locator('.ag-row .job-title')
    await expect(total).to_have_text('1 job')
    await expect(rows).to_have_text(['为什么天空是蓝色的？'])
    await rows.first.click()
    details = page.get_by_role('complementary', name='Details')
    await expect(details).to_contain_text('deadline')
    await expect(details).to_contain_text('Zoë')
    assert 'state=dead' in page.url and '&job=' in page.url
    await page.locator('.ag-row input').check()
    await page.get_by_role('toolbar').get_by_role('button', name='Do again').click()
    await page.get_by_role('button', name='Do them again').click()
    await expect(page.get_by_text('1 job is done again.')).to_be_visible()
    await page.get_by_role('button', name='Clear', exact=True).click()
    await expect(total).to_have_text('6 jobs')
    await expect(page.locator('.last-jobs-bar')).to_have_count(5)
    await overtake(page, total)
    await page.get_by_role('searchbox', name='Search').fill('天空')
    await expect(total).to_have_text('2 jobs')
    await page.get_by_role('button', name=re.compile('Language')).click()
    await expect(total).to_have_text('2 个任务')
    await expect(page.locator('.ag-row .job-grid-state')).to_have_text(['等待中', '失败'])
    await page.get_by_role('searchbox', name='搜索').fill('没有这样的文字')
    await expect(page.get_by_role('heading', name='没有这样的任务')).to_be_visible()
    await page.get_by_role('button', name='清除筛选').click()
    await expect(rows.filter(has_text='<img src=x')).to_have_count(1)
    await pick(page, total)


async def overtake(page, total):
    """A table whose questions are overtaken asks on; so it does for rows that are not put together yet."""
    asked: asyncio.Queue[Route] = asyncio.Queue()
    await page.route(ROWS, asked.put_nowait)
    filters = page.locator('.history-filters')
    async with asyncio.timeout(60):
        for state in ('Running', 'Completed', 'Failed', 'Cancelled'):
            await filters.get_by_role('button', name=state, exact=True).click()
            await asked.get()  # and gets no answer
        await page.get_by_role('button', name='Clear', exact=True).click()
        early = {'rows': [], 'total': 0, 'complete': False, 'looked': 0, 'at': 0, 'cut': False}
        await (await asked.get()).fulfill(json=early)
        again = await asked.get()
    await again.continue_()
    await page.unroute(ROWS)
    await expect(page.locator('.ag-row .job-title')).to_have_count(6)
    await expect(total).to_have_text('6 jobs')


async def pick(page, total):
    """A user and a model are suggested while one types; any other name may be written; a delayed job has its state."""
    user, model = page.get_by_role('combobox', name='用户'), page.get_by_role('combobox', name='模型')
    await user.click()
    await page.keyboard.type('zo')
    await expect(page.locator('.picker-list:visible').get_by_role('option')).to_have_text(['Zoë'])
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await expect(user).to_have_value('Zoë')
    await expect(total).to_have_text('2 个任务')
    await model.fill('no-such-model')
    await expect(page.get_by_text('没有叫这个名字的')).to_be_visible()
    await model.press('Enter')
    await expect(page.get_by_role('heading', name='没有这样的任务')).to_be_visible()
    await expect(page).to_have_url(re.compile('model=no-such-model'))
    await page.get_by_role('button', name='清除：模型').click()
    await expect(total).to_have_text('2 个任务')
    await page.get_by_role('button', name='清除', exact=True).click()
    await expect(user).to_have_value('')
    await page.get_by_role('button', name='延后').click()
    await expect(page.get_by_role('heading', name='没有这样的任务')).to_be_visible()
    await expect(page).to_have_url(re.compile('state=delayed'))
    await page.get_by_role('button', name='延后').click()
    await expect(total).to_have_text('6 个任务')


async def take_away(url):
    """The files have what is listed, and nothing that a spreadsheet would run."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        asked = '/desk/jobs/file?state=dead&format='
        csv = (await http.get(asked + 'csv')).text
        assert csv.startswith('\ufeffjob_id,') and len(csv.splitlines()) == 2 and '为什么' in csv
        (job,) = (await http.get(asked + 'json')).json()
        assert (job['user'], job['code'], job['asked']) == ('Zoë', 'deadline', '为什么天空是蓝色的？')
        parquet = await http.get(asked + 'parquet')
        assert parquet.content.startswith(b'PAR1') and 'attachment' in parquet.headers['content-disposition']
        assert (await http.get(asked + 'exe')).status_code == 400
        page = (await http.get('/desk/jobs/rows?limit=2&sort=waited&offset=nonsense')).json()
        assert len(page['rows']) == 2 and page['total'] == 6


async def change_settings(page, url):
    """Limits change at once and are kept; what is wrong is said beside its field."""
    await page.goto(f'{url}/settings')
    running = page.get_by_label('同时运行的任务总数')
    await expect(running).to_be_enabled()
    await running.fill('2')
    await running.press('Enter')
    await expect(page.get_by_text('已更改，现在生效。')).to_be_visible()
    rate = page.get_by_label('总启动速率')
    await rate.fill('very often')
    await rate.press('Enter')
    await expect(page.locator('.settings-row').filter(has=rate).get_by_role('alert')).to_contain_text('10 per min')
    await page.get_by_role('radio', name='English').click()
    await expect(page.get_by_role('heading', name='Settings', exact=True)).to_be_visible()
    await expect(page.locator('html')).to_have_attribute('lang', 'en-US')
    await page.reload()
    running = page.get_by_label('At the same time, all together')
    await expect(running).to_have_value('2')
    row = page.locator('.settings-row').filter(has=running)
    await expect(row).to_contain_text('Changed here; the start said: 0')
    await row.get_by_role('button', name='Reset').click()
    await expect(running).to_have_value('0')
    await page.get_by_label('Priority').select_option('High')
    await page.get_by_role('button', name='Check now').click()
    await expect(page.locator('.settings-finding').filter(has_text='queue.db')).to_contain_text('Sound')
    await expect(page.locator('.settings-finding').filter(has_text='data directory')).to_be_visible()
    await page.get_by_role('radio', name='中文').click()
    await expect(page.locator('.settings-finding').filter(has_text='数据目录')).to_be_visible()
    await page.get_by_role('radio', name='English').click()
    await expect(page.locator('html')).to_have_attribute('lang', 'en-US')
    await page.goto(f'{url}/chat')
    await expect(page.get_by_role('radio', name='High')).to_have_attribute('aria-checked', 'true')


async def on_a_phone(chromium, url):
    """Nothing scrolls sideways, and the other filters unfold."""
    context = await chromium.new_context(locale='zh-CN', viewport={'width': 360, 'height': 740}, color_scheme='dark')
    page = await context.new_page()
    await page.goto(f'{url}/history')
    await expect(page.locator('.ag-row .job-title').first).to_be_visible()
    await page.get_by_role('button', name='筛选').click()
    await expect(page.get_by_placeholder('模型')).to_be_visible()
    await expect(page.locator('.job-grid-more').first).to_contain_text('等待中')  # in words, in a second line
    for path in ('/history', '/settings'):
        await page.goto(f'{url}{path}')
        await expect(page.locator('h1')).to_be_visible()
        assert await page.evaluate('document.scrollingElement.scrollWidth <= innerWidth'), path
    await context.close()
