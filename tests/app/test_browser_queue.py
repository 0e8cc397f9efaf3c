"""The queue's pages of the running product, in a browser, in both languages."""

import functools
from collections.abc import Callable, Iterator

import pytest
from playwright.async_api import Page, expect

from app import i18n
from broker import client, protocol
from broker.endpoints import Endpoints
from tests import browser
from tests.conftest import Corral, starter

pytestmark = [*browser.MARKS, pytest.mark.whole]
LOCALES = {'en': 'en-US', 'zh': 'zh-CN'}
Said = Callable[..., str]  # a msgid in the page's language


@pytest.fixture(scope='module')
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corral]:
    with starter(tmp_path_factory.mktemp('queue')) as start:
        yield start('--engine', 'demo')


@pytest.fixture(params=LOCALES)
def lang(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def said(lang: str) -> Said:
    return functools.partial(i18n.tr, lang)


@pytest.fixture
def colon(lang: str) -> str:
    return '：' if lang == 'zh' else ': '


def broker_of(desk) -> client.BrokerClient:
    folder = desk.data_dir / 'run'
    return client.BrokerClient(Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')}))


async def submit(broker: client.BrokerClient, count: int, **fields: object) -> list[str]:
    ids = []
    for _ in range(count):
        job = {'kind': 'chat', 'model': 'nobody', 'body': b'{"messages": []}', 'job_id': client.new_job_id(), **fields}
        ids.append((await broker.submit(protocol.Submit(**job))).job_id)
    return ids


async def fits(page: Page) -> None:
    """On a phone it does not scroll sideways."""
    size = page.viewport_size
    await page.set_viewport_size({'width': 390, 'height': 800})
    assert await page.evaluate('document.scrollingElement.scrollWidth') <= 390
    await page.set_viewport_size(size)


async def test_the_live_queue_moves_and_obeys(desk, tabs, lang: str, said: Said, colon: str):
    change = said('Change the priority') + colon
    user = f'anna-{lang}'
    motion = browser.LIVELY if lang == 'en' else {}
    async with broker_of(desk) as broker, tabs.visiting(desk.url, locale=LOCALES[lang], **motion) as page:
        await page.goto(f'{desk.url}/queue')
        asks = b'{"messages": [{"role": "user", "content": "Why is the sky <i>blue</i>?"}]}'
        first, second, third = [*await submit(broker, 1, user=user, body=asks), *await submit(broker, 2, user=user)]
        row = {job_id: page.locator(f'.qb-row[data-job="{job_id}"]') for job_id in (first, second, third)}
        await expect(row[first]).to_contain_text(said('no machine has this model'))
        await expect(row[first]).to_contain_text(said('from a program (API or command line)'))
        await expect(row[first].locator('.qb-title')).to_have_text('Why is the sky <i>blue</i>?')
        await expect(row[second].locator('.qb-title')).to_have_text(said('Chat request'))
        await expect(page.locator('.rail .count')).to_have_text('3')
        waited = await row[first].locator('.qb-time').inner_text()
        await expect(row[first].locator('.qb-time')).not_to_have_text(waited)  # the browser ticks
        await fits(page)

        await row[second].get_by_role('button', name=change).click()
        await page.get_by_role('menuitemradio', name=said('High')).click()
        await expect(row[second].get_by_role('button', name=change + said('High'))).to_be_visible()
        assert (await broker.get(second)).job.priority == 10
        await row[second].get_by_role('button', name=change).click()
        await page.get_by_label(said('Exactly, 0–15')).fill('2')
        await page.get_by_role('button', name=said('Set'), exact=True).click()
        await expect(row[second].get_by_role('button', name=change + '2')).to_be_visible()
        await row[second].focus()  # and with keys alone
        await page.keyboard.press('Alt+ArrowUp')
        await expect(row[second].get_by_role('button', name=change + said('Normal'))).to_be_visible()
        await row[third].drag_to(page.locator('.qb-lane.p-real'))
        await expect(row[third].get_by_role('button', name=change + said('Realtime'))).to_be_visible()
        assert [(await broker.get(job_id)).job.priority for job_id in (second, third)] == [5, 15]

        for job_id in (second, third):  # several at once
            await row[job_id].get_by_role('checkbox').check()
        chosen = page.locator('.qb-selected')
        await chosen.get_by_role('button', name=said('Priority')).click()
        await page.get_by_role('menuitem', name=said('Low')).click()
        await expect(row[third].get_by_role('button', name=change + said('Low'))).to_be_visible()
        await expect(row[second].get_by_role('button', name=change + said('Low'))).to_be_visible()
        await chosen.get_by_role('button', name=said('Cancel them')).click()
        await page.get_by_role('alertdialog').get_by_role('button', name=said('Cancel them')).click()
        await expect(page.locator(f'.qb-run.over[data-job="{second}"]')).to_contain_text(said('Cancelled'))
        await expect(row[third]).to_have_count(0)

        await page.get_by_role('searchbox').fill('SKY')
        await expect(page).to_have_url(f'{desk.url}/queue?text=SKY')
        await expect(row[first]).to_be_visible()
        await page.get_by_role('searchbox').fill('nothing like this')
        await expect(page.get_by_text(said('Nothing in the queue matches this filter.'))).to_be_visible()
        await page.goto(f'{desk.url}/queue?state=ended&user={user}')
        await expect(page.locator('.qb-run.over')).to_have_count(2)
        await broker.cancel(first)


async def test_what_is_paused_waits_and_says_so(desk, tabs, lang: str, said: Said):
    async with broker_of(desk) as broker, tabs.visiting(desk.url, locale=LOCALES[lang]) as page:
        await page.goto(f'{desk.url}/queue')
        (worker,) = (each.worker for each in (await broker.staff()).workers)
        paused = page.locator('.qb-paused')
        for scope, name in (('model', 'demo'), ('worker', worker)):
            await page.get_by_role('button', name=said('Pause'), exact=True).click()
            await page.get_by_role('menuitemcheckbox', name=name).click()
            await expect(paused).to_contain_text(name)
            assert [(pause.scope, pause.name) for pause in (await broker.staff()).pauses] == [(scope, name)]
            await paused.get_by_role('button', name=said('Resume')).click()
            await expect(paused).to_have_count(0)

        await page.get_by_role('button', name=said('Pause'), exact=True).click()
        await page.get_by_role('menuitemcheckbox', name=said('Realtime')).click()
        await expect(paused).to_contain_text(said('Priority {name} is paused.', name=said('Realtime')))
        assert {pause.name for pause in (await broker.staff()).pauses} == {'13', '14', '15'}
        asked, slowly = b'{"role": "user", "content": "Tell me about queues"}', b'{"chars_per_s": 20, "length": 9000}'
        body = b'{"messages": [%b], "options": {"demo": %b}}' % (asked, slowly)
        (job_id,) = await submit(broker, 1, model='demo', body=body, priority=15)
        await expect(page.locator(f'.qb-row[data-job="{job_id}"]')).to_contain_text(said('paused'))
        await paused.get_by_role('button', name=said('Resume')).click()
        running = page.locator(f'.qb-run[data-job="{job_id}"]')
        await expect(running).to_contain_text(said('{n} tokens/s', n=''))

        await running.get_by_role('link', name='Tell me about queues').click()  # its page, and back
        await expect(page.locator('.job-legend')).to_contain_text(said('Writing the answer'))
        await page.go_back()
        await expect(running).to_be_visible()
        await page.go_forward()
        await page.get_by_role('button', name=said('Stop'), exact=True).click()
        await page.get_by_role('alertdialog').get_by_role('button', name=said('Stop'), exact=True).click()
        await expect(page.locator('.job-state')).to_contain_text(said('Cancelled'))
        await expect(page.locator('.job-incomplete')).to_be_visible()
        await fits(page)


async def test_a_schedule_is_made_changed_run_and_removed(desk, tabs, lang: str, said: Said, colon: str):
    async with broker_of(desk) as broker, tabs.visiting(desk.url, locale=LOCALES[lang]) as page:
        await page.goto(f'{desk.url}/queue/schedules')
        await expect(page.get_by_role('heading', name=said('No schedule yet'))).to_be_visible()
        await page.get_by_role('button', name=said('Add a schedule')).click()
        form = page.locator('.qs-form')
        line, zone = form.get_by_label(said('Cron line')), form.get_by_label(said('Time zone'))
        save = form.get_by_role('button', name=said('Save'), exact=True)
        await form.get_by_label(said('Name')).fill('晨报')
        await line.fill('0 25 * * *')
        await expect(form.get_by_role('alert')).to_contain_text('25')
        await line.fill('30 7 * * 1-5')
        weekdays = said('Monday to Friday at {time}', time='07:30')
        await expect(form.locator('.control-hint').first).to_contain_text(weekdays)
        await zone.fill('Mars/Base')
        await save.click()
        await expect(form.get_by_role('alert')).to_contain_text('Mars/Base')
        await zone.fill('Asia/Shanghai')
        await form.get_by_label(said('What to ask')).fill('今天有什么新闻？')
        await save.click()
        row = page.locator('.qs-row')
        await expect(row).to_contain_text(weekdays)
        await expect(row).to_contain_text('今天有什么新闻？')
        (found,) = (await broker.schedules()).schedules
        assert (found.schedule.name, found.schedule.timezone) == ('晨报', 'Asia/Shanghai')
        await row.get_by_role('switch').click()
        await expect(row).to_contain_text(said('off'))

        await row.get_by_role('button', name=said('Change it') + colon).click()
        await line.fill('0 9 * * 5')
        await save.click()
        day = i18n.Speech(lang).weekday(4, short=lang == 'zh')
        await expect(row).to_contain_text(said('every {days} at {time}', days=day, time='09:00'))
        await fits(page)

        await row.get_by_role('button', name=said('Run it now') + colon).click()
        await page.get_by_role('button', name=said('Open the job')).click()
        await expect(page.locator('.job-message')).to_contain_text('今天有什么新闻？')
        await expect(page.locator('.job-state')).to_contain_text(said('Completed'))
        await expect(page.locator('.job-events')).to_contain_text(said('First token'))
        await expect(page.locator('.job-prose')).to_contain_text('演示引擎')
        await fits(page)

        await page.goto(f'{desk.url}/queue/schedules')
        await row.get_by_role('button', name=said('Remove it') + colon).click()
        await page.get_by_role('alertdialog').get_by_role('button', name=said('Remove it'), exact=True).click()
        await expect(page.get_by_role('heading', name=said('No schedule yet'))).to_be_visible()
        assert not (await broker.schedules()).schedules


async def test_a_batch_is_followed_and_cancelled_whole(desk, tabs, lang: str, said: Said, colon: str):
    async with broker_of(desk) as broker, tabs.visiting(desk.url, locale=LOCALES[lang]) as page:
        ids, batch = [client.new_job_id() for _ in range(4)], client.new_job_id()
        await broker.open_batch(batch, 4, name='handbook <b>')
        fine = b'{"prompt": "Page one", "options": {"demo": {"chars_per_s": 90000}}}'
        for job_id, model in zip(ids, ('demo', 'nobody', 'nobody', 'nobody'), strict=True):
            order = {'job_id': job_id, 'kind': 'generate', 'model': model, 'body': fine, 'parent': batch}
            await broker.submit(protocol.Submit(**order))
        await page.goto(f'{desk.url}/queue/batches?id={batch}')
        row = page.locator(f'[data-batch="{batch}"]')
        await expect(row).to_contain_text(said('{done} of {total}', done=1, total=4))
        await expect(row).to_contain_text(said('{n} in the queue', n=3))
        await expect(row).to_contain_text('handbook <b>')
        await expect(row.get_by_role('link', name='Page one')).to_have_count(4)
        await fits(page)
        async with page.expect_download() as started:
            await row.get_by_role('link', name=said('Download the results')).click()
        assert len((await (await started.value).path()).read_text().splitlines()) == 1

        await row.get_by_role('button', name=said('Cancel all') + colon).click()
        await page.get_by_role('alertdialog').get_by_role('button', name=said('Cancel all')).click()
        await expect(row).to_contain_text(said('{n} cancelled', n=3))
        await expect(row.locator('.qx-jobs')).to_contain_text(said('Cancelled'))
        assert (await broker.batch(batch)).cancelled == 3


async def test_what_failed_is_looked_into_done_again_and_deleted(desk, tabs, lang: str, said: Said):
    async with broker_of(desk) as broker, tabs.visiting(desk.url, locale=LOCALES[lang]) as page:
        fails = b'{"prompt": "x", "options": {"demo": {"fail": {"detail": "out of <i>memory</i>", "after": 3}}}}'
        ids = await submit(broker, 2, kind='generate', model='demo', body=fails)
        await page.goto(f'{desk.url}/queue')
        await page.get_by_role('link', name=said('Failed jobs')).click()
        rows = page.locator('.qd-row')
        await expect(rows).to_have_count(2)
        await page.get_by_role('radio', name=said('Ollama reported an error.')).click()
        await expect(page).to_have_url(f'{desk.url}/queue/failed?code=engine_error')
        await fits(page)
        await page.get_by_role('button', name=said('Show the attempts')).first.click()
        await expect(page.locator('.qd-attempts pre').first).to_have_text('out of <i>memory</i>')
        await page.get_by_role('button', name=said('Do all {n} again', n=2)).click()
        await page.get_by_role('alertdialog').get_by_role('button', name=said('Do them again')).click()
        await expect(rows).to_have_count(4)  # they fail again
        await expect(page.get_by_role('link', name=said('done again'))).to_have_count(2)

        await rows.last.get_by_role('link').first.click()
        await expect(page.locator('.job-incomplete')).to_have_text(
            said('Incomplete: the job failed after these words.')
        )
        await expect(page.locator('.job-options')).to_contain_text('out of <i>memory</i>')
        await page.go_back()
        await page.get_by_role('button', name=said('Delete all {n}', n=4)).click()
        await page.get_by_role('alertdialog').get_by_role('button', name=said('Delete them')).click()
        await expect(page.get_by_role('heading', name=said('Nothing has failed'))).to_be_visible()
        await page.goto(f'{desk.url}/jobs/{ids[1]}')
        await expect(page.get_by_role('heading', name=said('There is no such job'))).to_be_visible()
