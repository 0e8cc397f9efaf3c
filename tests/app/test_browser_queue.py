"""The queue's pages of the running product, in a browser."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from broker import client, protocol
from broker.endpoints import Endpoints
from tests import browser
from tests.conftest import Corral, starter

pytestmark = [*browser.MARKS, pytest.mark.whole]


@pytest.fixture(scope='module')
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corral]:
    with starter(tmp_path_factory.mktemp('queue')) as start:
        yield start('--engine', 'demo')


def broker_of(desk) -> client.BrokerClient:
    folder = desk.data_dir / 'run'
    return client.BrokerClient(Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')}))


async def submit(broker: client.BrokerClient, count: int, **fields: object) -> list[str]:
    ids = []
    for _ in range(count):
        job = {'kind': 'chat', 'model': 'nobody', 'body': b'{"messages": []}', 'job_id': client.new_job_id(), **fields}
        ids.append((await broker.submit(protocol.Submit(**job))).job_id)
    return ids


async def test_the_live_queue_moves_and_obeys(desk, chromium):
    async with broker_of(desk) as broker, browser.visiting(chromium) as page:
        await page.goto(f'{desk.url}/queue')
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
        await page.goto(f'{desk.url}/queue?state=ended&user=anna')
        await expect(page.locator('.qb-run.over')).to_have_count(2)


async def test_a_schedule_is_made_run_and_its_job_followed(desk, chromium):
    async with broker_of(desk) as broker, browser.visiting(chromium, locale='zh-CN') as page:
        await page.goto(f'{desk.url}/queue/schedules')
        await expect(page.get_by_role('heading', name='还没有计划')).to_be_visible()
        await page.get_by_role('button', name='添加计划').click()
        form = page.locator('.qs-form')
        await form.get_by_label('名称').fill('晨报')
        await form.get_by_label('Cron 表达式').fill('0 25 * * *')
        await expect(form.get_by_role('alert')).to_contain_text('字段“时”的值“25”无法识别')
        await form.get_by_label('Cron 表达式').fill('30 7 * * 1-5')
        await expect(form.locator('.control-hint').first).to_contain_text('周一至周五 07:30')
        await form.get_by_label('时区').fill('Mars/Base')
        await form.get_by_role('button', name='保存').click()
        await expect(form.get_by_role('alert')).to_contain_text('不是时区')
        await form.get_by_label('时区').fill('Asia/Shanghai')
        await form.get_by_label('要问什么').fill('今天有什么新闻？')
        await form.get_by_role('button', name='保存').click()
        row = page.locator('.qs-row')
        await expect(row).to_contain_text('周一至周五 07:30')
        (found,) = (await broker.schedules()).schedules
        assert (found.schedule.name, found.schedule.timezone) == ('晨报', 'Asia/Shanghai')
        await row.get_by_role('switch').click()
        await expect(row).to_contain_text('已关闭')
        await row.get_by_role('button', name='立即运行').click()
        await page.get_by_role('button', name='打开任务').click()
        await expect(page.locator('.job-message')).to_contain_text('今天有什么新闻？')
        await expect(page.locator('.job-state')).to_contain_text('已完成')
        await expect(page.locator('.job-events')).to_contain_text('首个词元')
        await expect(page.locator('.job-prose')).to_contain_text('演示引擎')


async def test_a_batch_is_followed_and_what_failed_is_done_again_and_deleted(desk, chromium):
    async with broker_of(desk) as broker, browser.visiting(chromium) as page:
        ids = [client.new_job_id() for _ in range(3)]
        batch = client.new_job_id()
        await broker.open_batch(batch, 3, name='handbook <b>')
        fails = b'{"prompt": "x", "options": {"demo": {"fail": {"detail": "out of <i>memory</i>"}}}}'
        fine = b'{"prompt": "x", "options": {"demo": {"chars_per_s": 90000}}}'
        for job_id, body in zip(ids, (fine, fails, fails), strict=True):
            order = {'job_id': job_id, 'kind': 'generate', 'model': 'demo', 'body': body, 'parent': batch}
            await broker.submit(protocol.Submit(**order))
        await page.goto(f'{desk.url}/queue/batches?id={batch}')
        row = page.locator(f'[data-batch="{batch}"]')
        await expect(row).to_contain_text('3 of 3')
        await expect(row).to_contain_text('handbook <b>')
        await expect(row.locator('.qx-jobs li')).to_have_count(3)
        async with page.expect_download() as started:
            await row.get_by_role('link', name='Download the results').click()
        lines = (await (await started.value).path()).read_text().splitlines()
        assert len(lines) == 3

        await page.get_by_role('link', name='Failed jobs').click()
        rows = page.locator('.qd-row')
        await expect(rows).to_have_count(2)
        await page.get_by_role('radio', name='Ollama reported an error.').click()
        await expect(page).to_have_url(f'{desk.url}/queue/failed?code=engine_error')
        await page.get_by_role('button', name='Show the attempts').first.click()
        await expect(page.locator('.qd-attempts pre').first).to_have_text('out of <i>memory</i>')
        await page.get_by_role('button', name='Do all 2 again').click()
        await page.get_by_role('alertdialog').get_by_role('button', name='Do them again').click()
        await expect(page.get_by_text('2 jobs are done again.')).to_be_visible()
        await expect(rows).to_have_count(4)  # they fail again
        await expect(page.get_by_role('link', name='done again')).to_have_count(2)
        await page.get_by_role('button', name='Delete all 4').click()
        await page.get_by_role('alertdialog').get_by_role('button', name='Delete them').click()
        await expect(page.get_by_role('heading', name='Nothing has failed')).to_be_visible()
        await page.goto(f'{desk.url}/jobs/{ids[1]}')
        await expect(page.get_by_role('heading', name='There is no such job')).to_be_visible()
