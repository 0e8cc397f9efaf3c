"""What the analytics page asks and says, without a browser."""

import asyncio
import contextlib
import time
import types

import msgspec
import pytest
from nicegui.testing import User, user_simulation

from analytics import errors
from app.components.figure_table import FigureTable
from app.components.live_chart import LiveChart, difference
from app.components.range_bar import RangeBar
from app.components.tiles import Tiles
from app.i18n import speech
from app.pages import analytics as page
from tests.app.made_book import BUSY, FAILURE, GROUP, USAGE, Book


@pytest.fixture
def book(monkeypatch):
    monkeypatch.setattr(page, 'REFRESH_S', 0.02)
    found = Book()
    found.answer = found.before = found.ever = BUSY
    found.groups_found, found.failures_found, found.lines = [GROUP], [FAILURE], [USAGE]
    found.told, found.hits = 10, 9
    return found


@contextlib.asynccontextmanager
async def opened(book: Book, address: str = '/'):
    parts = types.SimpleNamespace(analytics=book, broker=None)

    def root() -> None:
        query = address.partition('?')[2]
        arguments = dict(pair.split('=') for pair in query.split('&')) if query else {}
        page.create(parts, types.SimpleNamespace(query_parameters=arguments))

    async with user_simulation(root=root) as user:
        await user.open('/')
        await user.should_see(kind=Tiles)
        yield user


def all_parts(user: User) -> list:
    return [each for kind in (Tiles, LiveChart, FigureTable) for each in sorted_by_id(user, kind)]


def sorted_by_id(user: User, kind: type) -> list:
    return sorted(user.find(kind=kind).elements, key=lambda element: element.id)


def look(user: User, *files: str) -> None:
    """Scroll these into view; all without names."""
    with user.client:
        for part in all_parts(user):
            if not files or part.props.get('spec', {}).get('file', '').removeprefix('corral-') in files:
                part._see(True)


def part(user: User, file: str):
    return next(each for each in all_parts(user) if each.props.get('spec', {}).get('file') == f'corral-{file}')


def tiles(user: User) -> dict[str, dict]:
    [element] = user.find(kind=Tiles).elements
    return {tile['id']: tile for tile in element.shown or []}


def wish(user: User, **what: object) -> None:
    """What the user picks in the bar."""
    [bar] = user.find(kind=RangeBar).elements
    with user.client:
        listener = next(each for each in bar._event_listeners.values() if each.type == 'change')
        listener.handler(types.SimpleNamespace(args=what))


def state(user: User) -> dict:
    [bar] = user.find(kind=RangeBar).elements
    return bar.props['state']


def seen(user: User, text: str) -> bool:
    """Whether the element with this text is shown."""
    [element] = user.find(content=text).elements
    while element.parent_slot is not None:
        if 'gone' in element.classes:
            return False
        element = element.parent_slot.parent
    return True


async def soon(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 – the page refreshes in a task of its own and tells nobody
            await asyncio.sleep(0.005)


def idle() -> bool:
    return not any(task.get_name() == 'refresh analytics' for task in asyncio.all_tasks())


async def test_an_empty_desk_explains_what_will_appear(book):
    book.ever = book.answer = Book().answer
    async with opened(book) as user:
        look(user)
        await soon(lambda: seen(user, 'No job has ended yet'))
        await user.should_see('Write a message')
        assert not seen(user, 'How long it took')
        with user.client:
            for each in all_parts(user):
                each._see(False)  # as they are when they are hidden
        book.ever = book.answer = BUSY
        book.tell()
        await soon(lambda: not seen(user, 'No job has ended yet'))


async def test_a_time_before_that_was_hardly_recorded_makes_no_change(book):
    book.before, book.first_at = msgspec.structs.replace(BUSY, total=617), time.time() - 86_400 - 600
    async with opened(book) as user:
        look(user)
        await soon(lambda: 'total' in tiles(user))
        assert {tile['change'] for tile in tiles(user).values()} == {''}
        assert tiles(user)['total']['figure'] == '1,234'


async def test_tiles_charts_and_tables_show_the_figures(book):
    book.answer = msgspec.structs.replace(BUSY, energy_wh=4.5)
    book.before = msgspec.structs.replace(BUSY, total=617)
    async with opened(book) as user:
        look(user)
        await soon(lambda: all(each.shown for each in all_parts(user)))
        found = tiles(user)
        assert (found['total']['figure'], found['total']['change']) == ('1,234', '+100%')
        assert found['total']['under'] == '24 failed, 10 cancelled'
        assert (found['success']['figure'], found['success']['change']) == ('98%', '±0')
        assert (found['wait']['figure'], found['wait']['under']) == ('0.5 s', '95% within 12 s')
        assert found['gpu']['under'] == '4.5 Wh'
        assert found['eta']['figure'] == '90%' and found['tokens']['figure'] == '1.2M'
        assert part(user, 'throughput').shown['series']['completed'] == [12.5] * 96
        assert part(user, 'wait').shown['series']['p50'] == [0.5] * 96
        assert part(user, 'hours').shown['cells'][24 + 14] == [2, 14, 1234]
        assert part(user, 'failures').shown['links'] == ['/history?state=dead&code=idle_timeout&range=24h']
        assert part(user, 'time').shown['names'][:2] == ['No worker for the model', 'Behind others']
        assert part(user, 'models').shown['rows'][0][:3] == ['qwen3:8b', 10, 0.9]
        assert part(user, 'ledger').shown['total'][2] == 10
        assert part(user, 'speed').shown == {'empty': True}
        assert part(user, 'prediction-errors').shown['names'][2:5] == ['5 s early', 'as told', '5 s late']
        assert part(user, 'prediction-errors').shown['series'] == {'starts': [0, 0, 1, 9, 0, 0, 2]}
        assert part(user, 'predictions').shown['series']['rate'] == [0.9]


async def test_only_what_can_be_seen_is_asked_for_and_once(book):
    async with opened(book) as user:
        await soon(idle)
        assert book.names() == []
        look(user, 'failures', 'throughput')
        await soon(lambda: part(user, 'failures').shown and idle())
        assert set(book.names()) == {'per_minute', 'failures', 'choices'}
        asked = len(book.asked)
        book.tell()
        await soon(lambda: len(book.asked) == asked + 2 and idle())
        assert sorted(book.names()[asked:]) == ['failures', 'per_minute']
        with user.client:
            for each in all_parts(user):
                each._see(False)
        book.tell()
        await soon(idle)
        assert len(book.asked) == asked + 2


async def test_many_facts_at_once_are_one_question(book):
    async with opened(book) as user:
        look(user, 'failures')
        await soon(lambda: part(user, 'failures').shown and idle())
        asked = book.names().count('failures')
        for _ in range(100):
            book.tell()
        await soon(idle)
        assert book.names().count('failures') <= asked + 2


async def test_another_range_is_asked_for_stands_in_the_address_and_is_kept(book):
    async with opened(book) as user:
        look(user, 'throughput')
        await soon(lambda: part(user, 'throughput').shown)
        wish(user, range='1h')
        await soon(lambda: len(part(user, 'throughput').shown['at']) == 60)
        assert state(user)['address'] == '/analytics?range=1h' and state(user)['range'] == '1h'
        wish(user, since=1_700_000_040.0, until=1_700_003_640.0)
        await soon(lambda: book.asked[-1][1:] == (1_700_000_040.0, 1_700_003_640.0))
        assert state(user)['address'] == '/analytics?from=2023-11-14T22%3A14Z&to=2023-11-14T23%3A14Z'
        wish(user, range='nonsense')
        wish(user, since='x', until=None)
        wish(user, filters='x')
        assert state(user)['range'] == 'custom'


async def test_an_address_with_filters_asks_for_those_jobs_beside_the_time_before(book):
    async with opened(book, '/analytics?range=15m&user=ana&priority=10&compare=1') as user:
        look(user, 'throughput')
        await soon(lambda: part(user, 'throughput').shown)
        narrowed = [only for name, only in zip(book.names(), book.filters, strict=True) if name == 'per_minute']
        assert len(narrowed) == 2 and narrowed[0].users == ('ana',) and narrowed[0].priorities == (10,)
        assert part(user, 'throughput').shown['before'] == {'all': [80.0] * 15}
        await soon(lambda: state(user)['options'])
        assert state(user)['options']['priority'] == [['10', 'High · 10'], ['5', 'Normal · 5']]
        wish(user, filters={'user': '', 'model': 'qwen3:8b'})
        await soon(lambda: book.filters[-1].models == ('qwen3:8b',) or book.filters[-2].models == ('qwen3:8b',))
        assert 'user' not in state(user)['address'] and 'model=qwen3%3A8b' in state(user)['address']


async def test_the_hours_are_those_of_the_browser(book):
    async with opened(book) as user:
        [bar] = user.find(kind=RangeBar).elements
        zone = next(each for each in bar._event_listeners.values() if each.type == 'zone')
        with user.client:
            zone.handler(types.SimpleNamespace(args='Asia/Shanghai'))
            zone.handler(types.SimpleNamespace(args='../../etc/passwd'))
        look(user, 'hours')
        await soon(lambda: 'hours Asia/Shanghai' in book.names())


async def test_the_language_changes_everything_on_the_page(book):
    async with opened(book) as user:
        look(user)
        await soon(lambda: tiles(user))
        with user.client:
            speech().switch('zh')
        await soon(lambda: tiles(user)['total']['title'] == '已结束的任务')
        assert tiles(user)['total']['under'] == '失败 24，取消 10'
        await soon(lambda: part(user, 'failures').shown['names'] == ['回答中途停顿'])
        assert part(user, 'throughput').props['labels']['completed'] == '已完成'
        assert part(user, 'models').props['lang'] == 'zh-CN'
        assert state(user)['ranges'][1] == ['1h', '1 小时']


@pytest.mark.parametrize(
    ('trouble', 'said'), [(errors.Unavailable(), page.UNREADABLE), (errors.Rebuilding(), page.REBUILDING)]
)
async def test_trouble_is_said_and_goes_away(book, trouble, said):
    book.trouble = trouble
    async with opened(book) as user:
        look(user)
        await user.should_see(said)
        book.trouble = None
        await soon(lambda: tiles(user))
        await user.should_not_see(said)


async def test_facts_that_cannot_be_counted_are_spoken_of(book):
    book.problem = 'disk full'
    async with opened(book) as user:
        look(user, 'failures')
        await user.should_see(page.NOT_COUNTED)


async def test_a_part_that_fails_says_so_and_leaves_the_others_alone(book, monkeypatch, caplog):
    async def broken(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(book, 'failures', broken)
    async with opened(book) as user:
        look(user, 'failures', 'throughput')
        await soon(lambda: part(user, 'failures').shown and part(user, 'throughput').shown and idle())
        assert part(user, 'failures').shown == {'problem': page.UNREADABLE}
        assert part(user, 'throughput').shown['series']
    assert 'a part of the page failed' in caplog.text


async def test_a_page_that_was_left_asks_no_more(book):
    async with opened(book) as user:
        look(user, 'failures')
        await soon(lambda: book.asked)
        assert len(book.watchers) == 1
        with user.client:
            user.client.content.clear()
        assert book.watchers == []


def test_of_a_chart_only_what_changed_is_sent():
    before = {'at': [0, 60, 120], 'step_s': 60, 'span_s': 180, 'series': {'a': [1, 2, 3], 'b': [0, None, 1]}}
    after = {'at': [60, 120, 180], 'step_s': 60, 'span_s': 180, 'series': {'a': [2, 4, 5], 'b': [None, 1, None]}}
    assert difference(before, after) == {'drop': 1, 'at': [180], 'series': {'a': {1: 4, 2: 5}, 'b': {2: None}}}
    assert difference(before, {**after, 'step_s': 30}) is None
    assert difference(before, {**after, 'at': [240, 300, 360]}) is None
    assert difference(before, {**after, 'series': {'a': [1, 2, 3]}}) is None
    assert difference({}, after) is None and difference({'cells': []}, {'cells': [1]}) is None


async def test_a_chart_may_be_measured_in_another_unit(book):
    async with opened(book) as user:
        look(user, 'users')
        await soon(lambda: part(user, 'users').shown)
        assert part(user, 'users').shown['series'] == {'used': [10]}
        chart = next(
            each for each in user.find(kind=LiveChart).elements if each.props['spec']['file'] == 'corral-users'
        )
        pick = next(each for each in chart._event_listeners.values() if each.type == 'pick')
        with user.client:
            pick.handler(types.SimpleNamespace(args='gpu'))
        await soon(lambda: chart.shown['series'] == {'used': [20.0]})
        assert chart.props['spec']['unit'] == 'time' and chart.props['spec']['choice'] == 'gpu'


@pytest.mark.parametrize(('minutes', 'shown'), [(5, '15m'), (40, '1h'), (300, '6h'), (600, '24h'), (99_999, '24h')])
async def test_the_first_hours_are_shown_over_a_time_that_they_fill(book, minutes, shown):
    book.first_at = time.time() - minutes * 60
    async with opened(book) as user:
        look(user, 'failures')
        await soon(lambda: state(user)['range'] == shown and book.names())
        assert state(user)['address'] == '/analytics'


async def test_the_first_hours_are_shown_so_until_a_time_is_chosen(book):
    book.first_at = time.time() - 5 * 60
    async with opened(book) as user:
        look(user, 'failures')
        await soon(lambda: state(user)['range'] == '15m' and book.names())
        wish(user, range='30d')
        await soon(lambda: state(user)['range'] == '30d')
        assert state(user)['address'] == '/analytics?range=30d'
    async with opened(book, '/?range=7d') as user:
        look(user, 'failures')
        await soon(lambda: part(user, 'failures').shown and idle())
        assert state(user)['range'] == '7d'
