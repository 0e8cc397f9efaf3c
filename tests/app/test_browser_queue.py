"""The queue's pages of the running product, in a browser."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from broker import client, protocol
from broker.endpoints import Endpoints
from tests.browser import launched

pytestmark = [pytest.mark.browser, pytest.mark.whole]


@pytest.fixture
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    async with launched(chromium_path) as browser:
        yield browser


@contextlib.asynccontextmanager
async def visiting(chromium: Browser, **options: object) -> AsyncIterator[Page]:
    """A page that must end without an error in its console."""
    context = await chromium.new_context(**{'locale': 'en-US', 'viewport': {'width': 1440, 'height': 900}, **options})
    page = await context.new_page()
    wrong: list[str] = []
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('console', lambda message: wrong.append(message.text) if message.type == 'error' else None)
    yield page
    await context.close()
    assert not [text for text in wrong if 'status of 404' not in text]


def broker_of(desk) -> client.BrokerClient:
    folder = desk.data_dir / 'run'
    return client.BrokerClient(Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')}))


async def submit(broker: client.BrokerClient, count: int, **fields: object) -> list[str]:
    ids = []
    for _ in range(count):
        job = {'kind': 'chat', 'model': 'nobody', 'body': b'{"messages": []}', 'job_id': client.new_job_id(), **fields}
        ids.append((await broker.submit(protocol.Submit(**job))).job_id)
    return ids


async def test_the_live_queue_moves_and_obeys(corral, chromium):
    desk = corral('--engine', 'demo')
    async with broker_of(desk) as broker, visiting(chromium) as page:
        await page.goto(f'{desk.url}/queue')
        await expect(page.get_by_role('heading', name='Nothing waits and nothing runs')).to_be_visible()

        first, second, third = await submit(broker, 3, user='anna')
        row = {job_id: page.locator(f'.qb-row[data-job="{job_id}"]') for job_id in (first, second, third)}
        await expect(row[first]).to_contain_text('no machine has this model')
        await expect(row[first]).to_contain_text('from a program')
        await expect(page.locator('.status')).to_contain_text('3 waiting')
        await expect(page.locator('.rail .count')).to_have_text('3')
        waited = await row[first].locator('.qb-time').inner_text()
        await expect(row[first].locator('.qb-time')).not_to_have_text(waited)  # the browser ticks

        await row[second].get_by_role('button', name='Change the priority').click()
        await page.get_by_role('menuitemradio', name='High').click()
        await expect(row[second]).to_have_attribute('aria-setsize', '1')
        assert (await broker.get(second)).job.priority == 10
        await row[second].get_by_role('button', name='Change the priority').click()
        await page.get_by_label('Exactly').fill('2')
        await page.get_by_role('button', name='Set', exact=True).click()
        await expect(row[second].get_by_role('button', name='Change the priority: 2')).to_be_visible()
        await row[second].focus()  # and with keys alone
        await page.keyboard.press('Alt+ArrowUp')
        await expect(row[second].get_by_role('button', name='Change the priority: Normal')).to_be_visible()
        assert (await broker.get(second)).job.priority == 5
        await row[third].drag_to(page.locator('.qb-lane.p-real'))
        await expect(row[third].get_by_role('button', name='Change the priority: Realtime')).to_be_visible()
        assert (await broker.get(third)).job.priority == 15

        await page.get_by_role('button', name='Pause: Realtime').click()
        await expect(page.locator('.qb-paused')).to_contain_text('Priority Realtime is paused.')
        assert {pause.name for pause in (await broker.staff()).pauses} == {'13', '14', '15'}
        await page.locator('.qb-paused').get_by_role('button', name='Resume').click()
        await expect(page.locator('.qb-paused')).to_have_count(0)

        for job_id in (first, third):
            await row[job_id].get_by_role('checkbox').check()
        await page.get_by_role('button', name='Cancel them').click()
        await page.get_by_role('alertdialog').get_by_role('button', name='Cancel them').click()
        await expect(page.locator(f'.qb-run.over[data-job="{first}"]')).to_contain_text('Cancelled')
        await expect(row[third]).to_have_count(0)

        body = b'{"messages": [{"role": "user", "content": "Tell me about queues"}]}'
        (running,) = await submit(broker, 1, model='demo', body=body)
        await expect(page.locator(f'.qb-run[data-job="{running}"]')).to_contain_text('tokens/s')
        await page.locator(f'.qb-run[data-job="{running}"]').get_by_role('button', name='Stop').click()
        await expect(page.locator(f'.qb-run.over[data-job="{running}"]')).to_contain_text('Cancelled')

        await page.get_by_role('searchbox').fill('nothing like this')
        await expect(page.get_by_text('Nothing in the queue matches this filter.')).to_be_visible()
        await expect(page).to_have_url(f'{desk.url}/queue?text=nothing+like+this')
        await page.goto(f'{desk.url}/queue?state=ended')
        await expect(page.locator('.qb-run.over')).to_have_count(3)
