"""What the analytics page says, without a browser."""

import asyncio
import contextlib
import types

import msgspec
import pytest
from nicegui import ui
from nicegui.testing import User, user_simulation

from analytics import errors, queries
from app.components.live_chart import LiveChart
from app.i18n import speech
from app.pages import analytics as page

NOTHING = queries.Summary(
    total=0, completed=0, failed=0, cancelled=0, success_rate=None, mean_response_s=None, p50_response_s=None,
    p95_response_s=None, mean_wait_s=None, per_minute_now=0.0,
)  # fmt: skip
BUSY = queries.Summary(
    total=1234, completed=1200, failed=24, cancelled=10, success_rate=1200 / 1224, mean_response_s=3.25,
    p50_response_s=2.0, p95_response_s=75.0, mean_wait_s=1.0, per_minute_now=2.4,
)  # fmt: skip
MODEL = queries.ModelSummary(
    model='qwen3:8b', total=10, completed=9, failed=1, cancelled=0, mean_response_s=3.0, mean_wait_s=1.0,
    output_tokens=12345, tokens_per_s=44.44,
)  # fmt: skip


class Book:
    """A ledger whose answers are given; it counts what it was asked."""

    def __init__(self) -> None:
        self.answer = NOTHING
        self.ever = NOTHING
        self.models: list[queries.ModelSummary] = []
        self.trouble: Exception | None = None
        self.problem = ''
        self.asked: list[tuple[float, float]] = []
        self.watchers: list[object] = []

    def watch(self, callback):
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback) if callback in self.watchers else None

    def tell(self) -> None:
        for callback in list(self.watchers):
            callback()

    async def summary(self, *, since: float, until: float) -> queries.Summary:
        if self.trouble:
            raise self.trouble
        if since == 0:
            return self.ever
        self.asked.append((since, until))
        return self.answer

    async def per_minute(self, *, since: float, until: float, step_s: float) -> list[queries.Point]:
        steps = round((until - since) / step_s)
        point = queries.Point(
            at=0.0, completed=self.answer.completed / steps, failed=0.0, cancelled=0.0, output_tokens=0.0,
            mean_wait_s=None, mean_first_token_s=None, mean_response_s=self.answer.mean_response_s,
        )  # fmt: skip
        return [msgspec.structs.replace(point, at=n * step_s) for n in range(steps)]

    async def by_model(self, *, since: float, until: float) -> list[queries.ModelSummary]:
        return self.models


@pytest.fixture
def book(monkeypatch):
    monkeypatch.setattr(page, 'REFRESH_S', 0.02)
    return Book()


@contextlib.asynccontextmanager
async def opened(book: Book):
    async with user_simulation(root=lambda: page.create(types.SimpleNamespace(analytics=book))) as user:
        await user.open('/')
        await user.should_see('Throughput now')
        yield user


def chart(user: User, kind: str) -> LiveChart:
    return next(element for element in user.find(kind=LiveChart).elements if element.props['kind'] == kind)


def seen(user: User, text: str) -> bool:
    """Whether the element with this text is shown."""
    [element] = user.find(content=text).elements
    while element.parent_slot is not None:
        if 'gone' in element.classes:
            return False
        element = element.parent_slot.parent
    return True


async def soon(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 – the page refreshes in a task of its own and tells nobody
            await asyncio.sleep(0.005)


async def test_an_empty_desk_explains_what_will_appear(book):
    async with opened(book) as user:
        await soon(lambda: seen(user, 'No job has ended yet'))
        await user.should_see('Write a message')
        assert not seen(user, 'Jobs per minute')


async def test_a_quiet_hour_after_busy_days_keeps_the_charts(book):
    book.ever = BUSY
    async with opened(book) as user:
        await soon(lambda: book.asked)
        await soon(lambda: not seen(user, 'No job has ended yet'))
        assert seen(user, 'Jobs per minute')


async def test_tiles_charts_and_table_show_the_figures(book):
    book.answer, book.models = BUSY, [MODEL]
    async with opened(book) as user:
        for text in (
            '1,234',
            '24 failed, 10 cancelled',
            '98%',
            '3.2 s',
            'half within 2 s, 95% within 1 min 15 s',
            '2.4',
        ):
            await user.should_see(text)
        for cell in ('qwen3:8b', '10', '90%', '3 s', '1 s', '12,345', '44.4'):
            await user.should_see(cell)
        assert chart(user, 'outcomes').shown['series']['completed'] == [20.0] * 60
        assert chart(user, 'times').shown['series'] == {'wait': [None] * 60, 'response': [3.25] * 60}


async def test_another_range_asks_for_it_and_is_remembered_in_the_tab(book):
    async with opened(book) as user:
        await soon(lambda: book.asked)
        user.find('24 h').click()
        await soon(lambda: book.asked[-1][1] - book.asked[-1][0] == pytest.approx(86_400))
        checked = [element for element in user.find(kind=ui.element).elements if element.props.get('role') == 'radio']
        assert [element.props['aria-checked'] for element in checked].count('true') == 1
        await soon(lambda: len(chart(user, 'outcomes').shown['at']) == 96)


async def test_new_facts_are_shown_and_many_at_once_are_one_question(book):
    async with opened(book) as user:
        await soon(lambda: book.asked)
        asked = len(book.asked)
        book.answer = BUSY
        for _ in range(100):
            book.tell()
        await user.should_see('1,234')
        assert len(book.asked) <= asked + 2


async def test_nothing_is_asked_while_nothing_happens(book):
    async with opened(book) as user:
        await soon(lambda: seen(user, 'No job has ended yet'))
        await soon(lambda: not any(task.get_name() == 'refresh analytics' for task in asyncio.all_tasks()))
        assert len(book.asked) == 1


async def test_the_language_changes_everything_on_the_page(book):
    book.answer, book.models = BUSY, [MODEL]
    async with opened(book) as user:
        await user.should_see('1,234')
        with user.client:
            speech().switch('zh')
        for text in ('当前吞吐量', '失败 24，取消 10', '3.2 秒', '半数在 2 秒内，95% 在 1 分 15 秒内', '词元/秒'):
            await user.should_see(text)
        assert chart(user, 'outcomes').props['labels']['completed'] == '已完成'
        assert chart(user, 'times').props['lang'] == 'zh-CN'


@pytest.mark.parametrize(
    ('trouble', 'said'),
    [
        (errors.Unavailable(), 'The statistics cannot be read at the moment. The queue itself is not affected.'),
        (errors.Rebuilding(), 'The statistics were damaged and are being rebuilt from the queue.'),
    ],
)
async def test_trouble_is_said_and_goes_away(book, trouble, said):
    book.answer, book.trouble = BUSY, trouble
    async with opened(book) as user:
        await user.should_see(said)
        book.trouble = None
        book.tell()
        await user.should_see('1,234')
        await user.should_not_see(said)


async def test_a_page_that_was_left_asks_no_more(book):
    async with opened(book) as user:
        await soon(lambda: book.asked)
        assert len(book.watchers) == 1
        with user.client:
            user.client.content.clear()
        assert book.watchers == []
