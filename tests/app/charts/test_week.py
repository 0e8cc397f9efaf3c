"""The summary of a week: which week that is, and what is told of it."""

import asyncio
import datetime
import itertools
import time
import types

import msgspec
import pytest
from nicegui.testing import user_simulation

from analytics import answers
from app.charts.week import Answers, Week, change, report, tone
from app.components.week_report import WeekReport
from app.i18n import Speech
from app.pages import analytics_week as page
from app.pages.analytics_week import ask
from tests.app.made_book import BUSY, FAILURE, GROUP, NOTHING, USAGE, Book

WEEK = Week(2026, 47)
AFTER = WEEK.until + 3600


@pytest.fixture
async def found():
    book = Book()
    book.answer, book.told, book.hits = BUSY, 10, 9
    book.groups_found, book.failures_found = [GROUP], [FAILURE]
    book.lines = [msgspec.structs.replace(USAGE, user='陈晓', gpu_s=60.0), USAGE]
    return await ask(book, WEEK)


def tell(found: Answers, code: str = 'en', now: float = AFTER):
    return report(Speech(code), WEEK, found, now)


def test_a_week_begins_on_monday_and_has_seven_days():
    assert datetime.datetime.fromtimestamp(WEEK.since) == datetime.datetime(2026, 11, 16)
    days = WEEK.days()
    assert len(days) == 7 and days[0][1] == WEEK.since and days[-1][2] == WEEK.until
    assert all(until == later[1] for (_, _, until), later in itertools.pairwise(days))


def test_weeks_go_on_over_the_end_of_a_year():
    assert str(Week(2026, 53).moved(1)) == '2027-W01' and str(Week(2027, 1).moved(-1)) == '2026-W53'
    assert Week.of(WEEK.since) == Week.of(WEEK.until - 1) == WEEK
    assert Week.read(str(WEEK)) == WEEK


@pytest.mark.parametrize(
    'text', ['', '2026-47', '2026-W54', '2026-W00', '0001-W01', '9999-W52', "2026-W47' --", '２０２６-W01']
)
def test_what_is_no_week_is_none(text):
    assert Week.read(text) is None


@pytest.mark.parametrize(('now', 'before', 'said'), [
    (110, 100, '+10%'), (97, 100, '−3%'), (100, 100, '±0'), (2000, 100, '20 times'), (5, 0, ''), (None, 5, ''),
    (100.5, 100, '+0.5%'),
])  # fmt: skip
def test_a_change_is_said_as_one_would(now, before, said):
    assert change(Speech('en'), now, before) == said


def test_shares_change_by_points_and_only_what_matters_has_a_tone():
    assert change(Speech('zh'), 0.95, 0.98, points=True) == '−3 个百分点'
    assert tone(0.95, 0.98, 1) == 'bad' and tone(5.0, 10.0, -1) == 'good'
    assert tone(100.0, 101.0, 1) == '' and tone(1.0, 9.0, 0) == '' and tone(None, 1.0, 1) == ''


async def test_the_summary_tells_all_that_matters(found):
    told = tell(found)
    assert told['title'] == 'Week 47, 2026' and told['period'] == 'Nov 16, 2026 – Nov 22, 2026'
    assert told['previous'].endswith('week=2026-W46') and told['next'].endswith('week=2026-W48')
    assert told['lead'][0] == '1,234 jobs ended, about as many as in the week before.'
    assert 'The busiest hour was Tuesday, 14:00–15:00, with 1,234 jobs.' in told['lead']
    assert told['tiles'][0]['figure'] == '1,234' and told['tiles'][5]['figure'] == '1.2M'
    assert [row['cells'][0] for row in told['users']['rows']] == ['陈晓', 'ana']
    assert told['users']['rows'][0]['cells'][-1] == '75%'
    assert told['models']['rows'][0]['cells'][:3] == ['qwen3:8b', '10', '90%']
    assert sum(part['part'] for part in told['waits']['parts']) == pytest.approx(1.0)
    assert told['failures']['rows'][0]['sub'] == 'idle_timeout'
    assert told['eta']['text'] == '10 starts were predicted; 90% fell into the interval that was told.'
    assert len(told['heat']['cells']) == 168 and max(cell['part'] for cell in told['heat']['cells']) == 1
    assert not told['empty'] and not told['running']


async def test_it_reads_as_chinese_too(found):
    told = tell(found, 'zh')
    assert told['title'] == '2026 年第 47 周' and told['lead'][0] == '共结束 1,234 个任务，与上一周基本持平。'
    assert told['days']['rows'][0]['name'] == '星期一' and told['heat']['days'][6] == '周日'


async def test_this_week_is_not_over_and_has_no_next_one(found):
    told = tell(found, now=WEEK.since + 3 * 86_400)
    assert told['running'] == 'This week is not over yet.' and told['next'] == ''


async def test_more_rows_than_fit_are_counted(found):
    many = [msgspec.structs.replace(USAGE, user=f'u{n}') for n in range(30)]
    told = tell(Answers(**{**vars(found), 'usage': many}))
    assert len(told['users']['rows']) == 12 and told['users']['more'] == 'and 18 more'


async def test_a_week_without_jobs_has_no_figures_to_divide_by():
    told = tell(await ask(Book(), WEEK))
    assert told['empty'] and told['failures']['none'] and told['eta']['text'] == 'No wait was predicted this week.'
    assert told['tiles'][1]['figure'] == '–'


async def test_a_week_before_that_was_hardly_recorded_is_not_compared_with():
    book = Book()
    book.ever, book.first_at = BUSY, WEEK.since - 86_400
    await ask(book, WEEK)
    spans = [(since, until) for name, since, until in book.asked if name == 'summary']
    assert (WEEK.since, WEEK.since) in spans and (WEEK.moved(-1).since, WEEK.since) not in spans


async def test_the_days_are_asked_for_one_by_one_and_the_week_before_too():
    book = Book()
    book.answer = NOTHING
    await ask(book, WEEK)
    spans = [(since, until) for name, since, until in book.asked if name == 'summary']
    assert (WEEK.moved(-1).since, WEEK.since) in spans and len(spans) == 9
    assert isinstance(await book.waits(since=0, until=time.time()), answers.Waits)


async def test_what_ends_while_a_week_is_asked_for_is_asked_for_once_more_and_nothing_after_the_page_is_left(
    monkeypatch,
):
    monkeypatch.setattr(page, 'AGAIN_S', 0.01)
    book = Book()
    book.answer = BUSY
    parts = types.SimpleNamespace(analytics=book)
    async with user_simulation(root=lambda: page.create(parts, str(Week.of(time.time())))) as user:
        await user.open('/')
        await user.should_see(kind=WeekReport)
        await until(lambda: book.names().count('eta') == 1)
        for _ in range(3):
            book.tell()
        await until(lambda: book.names().count('eta') == 2)
        with user.client:
            user.client.content.clear()
        assert not book.watchers


@pytest.mark.parametrize(('days', 'moved'), [(0, 0), (30, -1), (None, 0)])
async def test_without_a_week_the_last_one_is_shown_or_in_the_first_of_all_this_one(days, moved):
    book = Book()
    book.answer = book.ever = NOTHING if days is None else BUSY
    book.first_at = time.time() - (days or 0) * 86_400
    async with user_simulation(root=lambda: page.create(types.SimpleNamespace(analytics=book))) as user:
        await user.open('/')
        await until(lambda: 'eta' in book.names())
        assert {since for name, since, _ in book.asked if name == 'eta'} == {Week.of(time.time()).moved(moved).since}


async def until(condition):
    """Wait for it."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  the page has no event for it
            await asyncio.sleep(0.01)
