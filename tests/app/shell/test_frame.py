"""The frame and the queue page, without a browser."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nicegui import ui
from nicegui.testing import User, UserInteraction, user_simulation

from app.board import Board
from app.components.queue_board import QueueBoard
from app.pages import queue
from app.parts import Parts
from app.settings import AppSettings
from app.shell import banner, frame, theme
from app.visit import visit, watch
from broker import errors
from broker.endpoints import Endpoints
from tests.app import news as n
from tests.app.news import News, standing, tokens


class FakeBroker:
    """Notes what was wanted; ``trouble`` is raised instead."""

    def __init__(self) -> None:
        self.wanted: list[tuple[object, ...]] = []
        self.trouble: Exception | None = None

    async def cancel(self, job_id: str) -> None:
        self._want('cancel', job_id)

    async def set_priority(self, job_id: str, priority: int) -> None:
        self._want('priority', job_id, priority)

    async def pause(self, scope: str, name: str = '') -> None:
        self._want('pause', scope, name)

    async def resume(self, scope: str, name: str = '') -> None:
        self._want('resume', scope, name)

    async def drain(self, scope: str, name: str = '') -> None:
        self._want('drain', scope, name)

    def _want(self, *what: object) -> None:
        if self.trouble:
            raise self.trouble
        self.wanted.append(what)


class FakeChats:
    def title_of(self, conversation_id: str) -> str | None:
        return {'c1': '季度报告'}.get(conversation_id)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def parts(board: Board, broker: FakeBroker) -> Parts:
    settings = AppSettings(data_dir=Path('x'), endpoints=Endpoints(client='c', worker='w', facts='f'), version='9.9')
    return Parts(settings=settings, board=board, broker=broker, chat=FakeChats())


@contextlib.asynccontextmanager
async def opened(parts: Parts, path: str = '/queue', **headers: str) -> AsyncIterator[User]:
    def chat() -> None:
        draft = ui.input('draft')
        draft.value = visit().state.get('draft', '')
        draft.on_value_change(lambda event: visit().state.update(draft=event.value))

    def broken() -> None:
        raise RuntimeError('secret detail')

    routes = {'/chat': chat, '/queue': lambda: queue.create(parts), '/broken': broken}
    async with user_simulation(root=lambda: frame.create(parts, routes)) as user:
        user.http_client.headers.update(headers)
        await user.open(path)
        yield user


def shown(user: User) -> QueueBoard:
    return next(iter(user.find(kind=QueueBoard).elements))


def lanes(element: QueueBoard) -> dict[str, list[str]]:
    return {lane: window['ids'] for lane, window in element.state['windows'].items()}


def tell(board: Board, *items: object) -> None:
    """News, told at once: each time a second later."""
    for item in items:
        board.apply(item)
    tell.now = getattr(tell, 'now', n.T0) + 1
    board.flush(tell.now)


# The queue page


async def test_an_empty_queue_says_what_will_appear_and_how(parts: Parts, board: Board):
    board.apply(News().pulse())
    async with opened(parts) as user:
        await user.should_see('Nothing waits and nothing runs')
        await user.should_see('Go to the chat')


async def test_jobs_come_move_and_go(parts: Parts, board: Board, monkeypatch: pytest.MonkeyPatch):
    news, sent = News(), []
    monkeypatch.setattr(QueueBoard, 'run_method', lambda self, name, *args: sent.append((name, *args)))
    async with opened(parts) as user:
        element = shown(user)
        tell(board, news.joined(), news.queued('a', conversation_id='c1', user='anna'), news.queued('b', priority=10))
        assert lanes(element) == {'real': [], 'high': ['b'], 'normal': ['a'], 'low': []}
        assert (element.state['rows']['a']['title'], element.state['rows']['a']['user']) == ('季度报告', 'anna')
        tell(board, standing(('b', 0), ('a', 1)), news.started('b'))
        assert (lanes(element)['normal'], element.state['running']) == (['a'], ['b'])
        tell(board, tokens('b', 0, 'x'), news.completed('b', lines=1))
        assert element.state['ended'] == ['b']
        sent.clear()
        tell(board, news.moved('a', 15))
        ((name, patch),) = sent
        assert name == 'patch' and list(patch['rows']) == ['a'] and patch['rows']['a']['priority'] == 15
        element.show(dict(element.state))
        assert len(sent) == 1, 'nothing differs, nothing is sent'


async def test_a_filter_comes_from_the_address_and_changes_with_it(parts: Parts, board: Board):
    news = News()
    tell(board, news.joined(), news.queued('a', user='anna'), news.queued('b', user='bob'))
    async with opened(parts, '/queue?user=bob&state=waiting') as user:
        element = shown(user)
        assert lanes(element)['normal'] == ['b'] and element.state['filter']['state'] == 'waiting'
        user.find(kind=QueueBoard).trigger('filter', {'state': '', 'model': '', 'user': 'anna', 'text': ''})
        assert lanes(element)['normal'] == ['a']
        await go(user, '/queue')
        assert lanes(element)['normal'] == ['a', 'b']


async def test_cancel_and_priority_reach_the_broker_and_say_so(parts: Parts, board: Board, broker: FakeBroker):
    tell(board, News().queued('a'))
    async with opened(parts) as user:
        user.find(kind=QueueBoard).trigger('stop', ['a'])
        await user.should_see('Cancelled.')
        user.find(kind=QueueBoard).trigger('priority', [['a'], 15])
        await user.should_see('Priority changed.')
    assert broker.wanted == [('cancel', 'a'), ('priority', 'a', 15)]


@pytest.mark.parametrize(
    ('trouble', 'sentence'),
    [
        (errors.Refused('final', 'x'), 'It has already ended.'),
        (errors.Refused('surprise', 'x'), 'The queue refused that.'),
        (errors.BrokerUnreachable(), 'The queue does not answer; nothing was changed.'),
    ],
)
async def test_a_wish_that_is_refused_says_why(parts, board, broker, trouble: Exception, sentence: str):
    tell(board, News().queued('a'))
    broker.trouble = trouble
    async with opened(parts) as user:
        user.find(kind=QueueBoard).trigger('stop', ['a'])
        await user.should_see(sentence)


# The frame


async def test_the_status_bar_follows_the_board(parts: Parts, board: Board):
    news = News()
    async with opened(parts) as user:
        await user.should_see('Queue unreachable')
        tell(board, news.joined(slots=4), news.queued('a'), news.queued('b'), news.started('a'))
        for text in ('Queue running', '1 worker', '1 running', '1 waiting', 'Ollama 0.33'):
            await user.should_see(text)
        board.tick(n.T0 + 60)
        tell(board)
        assert not board.broker_alive
        await user.should_see('Queue unreachable')


async def test_the_banner_says_the_one_thing_that_matters(parts: Parts, board: Board):
    news = News()
    async with opened(parts) as user:
        await user.should_see('The queue does not answer.')
        tell(board, news.pulse())
        await user.should_see('No worker is connected.')
        tell(board, news.joined(engine='demo', models=(n.model('demo', 'demo'),)))
        await user.should_see('This is the built-in demo')
        await user.should_see(banner.CONNECT_COMMAND)
        tell(board, news.changed(engine='demo', models=(n.model('demo', 'demo'),), problem='no_models'))
        await user.should_see('Ollama has no model yet.')
        tell(board, news.changed())
        await user.should_not_see('Ollama has no model yet.')
        tell(board, news.changed(models=(), problem='no_models'))
        await user.should_see('Ollama has no model yet.')
        tell(board, news.changed(models=(), problem='unreachable'))
        await user.should_see('Ollama at http://127.0.0.1:11434 does not answer.')
        tell(board, news.changed())
        await user.should_not_see('does not answer')
        tell(board, news.changed(engine='demo', models=(n.model('demo', 'demo'),)))
        await user.should_see('Ollama at http://127.0.0.1:11434 no longer answers.')
        await user.should_not_see('This is the built-in demo')
        tell(board, news.changed())
        await user.should_not_see('no longer answers')


async def test_the_demo_notice_can_be_closed_and_stays_closed(parts: Parts, board: Board):
    news = News()
    tell(board, news.joined(engine='demo', models=(n.model('demo', 'demo'),)))
    async with opened(parts) as user:
        press(user, 'Close this notice')
        await user.should_not_see('This is the built-in demo')
        tell(board, news.joined('w:2', engine='demo', models=()))
        await user.should_not_see('This is the built-in demo')


async def test_the_first_language_follows_the_browser_and_the_cookie_wins(parts: Parts):
    async with opened(parts, **{'accept-language': 'zh-CN,zh;q=0.9'}) as user:
        await user.should_see('没有连接任何工作进程') if parts.board.broker_alive else await user.should_see(
            '队列没有响应'
        )
        assert user.client.page.language == 'zh-CN'
    async with opened(parts, **{'accept-language': 'zh', 'cookie': 'corral_lang=en; corral_theme=dark'}) as user:
        await user.should_see('Queue unreachable')
        assert (user.client.page.language, user.client.page.dark) == ('en-US', True)


async def test_a_switch_changes_every_text_and_keeps_the_page(parts: Parts, board: Board):
    tell(board, News().joined())
    async with opened(parts) as user:
        element = shown(user)
        press(user, 'Language: 中文')
        await user.should_see('队列正常')
        await user.should_see('1 个工作进程')
        await user.should_see('没有等待或运行的任务')
        assert shown(user) is element
        assert (element._props['labels']['pause'], element._props['lang']) == ('暂停', 'zh-CN')
        press(user, '语言：English')
        await user.should_see('Queue running')


async def test_what_is_paused_is_shown_and_a_lane_is_all_its_priorities(parts: Parts, board: Board):
    news = News()
    tell(board, news.joined(), news.pulse())
    async with opened(parts) as user:
        element = shown(user)
        user.find(kind=QueueBoard).trigger('pause', ['all', '', False])
        await user.should_see('Nothing new starts until you resume.')
        tell(board, news.paused('all'))
        assert element.state['pauses'] == [{'scope': 'all', 'name': '', 'draining': False}]
        await user.should_see('Queue paused')
        user.find(kind=QueueBoard).trigger('resume', ['all', ''])
        await user.should_see('The queue goes on.')
        tell(board, news.paused('all', over=True))
        user.find(kind=QueueBoard).trigger('pause', ['lane', 'real', False])
        await user.should_see('Paused.')
        assert parts.broker.wanted[-3:] == [('pause', 'priority', value) for value in ('13', '14', '15')]
        tell(board, *(news.paused('priority', value) for value in ('13', '14', '15')), news.paused('model', 'qwen3'))
        said = [(each['scope'], each['name']) for each in element.state['pauses']]
        assert said == [('lane', 'real'), ('model', 'qwen3')]
        user.find(kind=QueueBoard).trigger('pause', ['model', 'qwen3', True])
        tell(board, news.draining('model', 'qwen3'))
        assert element.state['pauses'][-1] == {'scope': 'model', 'name': 'qwen3', 'draining': True}
        tell(board, news.draining('model', 'qwen3', over=True))
        await user.should_see('Drained: nothing of it runs any more.')
        assert element.state['pauses'][-1] == {'scope': 'model', 'name': 'qwen3', 'draining': False}
        user.find(kind=QueueBoard).trigger('resume', ['model', 'qwen3'])
        await user.should_see('Resumed.')
        assert parts.broker.wanted[-2:] == [('drain', 'model', 'qwen3'), ('resume', 'model', 'qwen3')]
        parts.broker.trouble = errors.BrokerUnreachable()
        user.find(kind=QueueBoard).trigger('pause', ['model', 'm', False])
        await user.should_see('The queue does not answer; nothing was changed.')


async def test_a_draft_outlives_a_look_at_the_queue(parts: Parts):
    async with opened(parts, '/chat') as user:
        user.find('draft').type('half a question')
        await go(user, '/queue')
        await user.should_see(kind=QueueBoard)
        await go(user, '/chat')
        assert next(iter(user.find(kind=ui.input).elements)).value == 'half a question'


async def test_pages_that_were_left_are_told_nothing_more(parts: Parts, board: Board):
    async with opened(parts) as user:
        before = len(board._on_queue)
        for _ in range(3):
            await go(user, '/chat')
            await go(user, '/queue')
        assert len(board._on_queue) == before


async def test_an_unknown_page_is_a_friendly_404(parts: Parts):
    async with opened(parts) as user:
        answer = await user.http_client.get('/no/such/page')
        assert answer.status_code == 404 and 'There is no such page' in answer.text and 'Go to the chat' in answer.text


async def test_a_page_that_fails_says_so_without_details(parts: Parts, caplog: pytest.LogCaptureFixture):
    async with opened(parts) as user:
        answer = await user.http_client.get('/broken')
        assert 'This page could not be shown' in answer.text and 'secret detail' not in answer.text
        assert 'secret detail' in caplog.text


async def test_a_handler_that_fails_says_one_sentence(parts: Parts, board: Board, broker: FakeBroker, caplog):
    tell(board, News().queued('a'))
    broker.trouble = RuntimeError('secret detail')
    async with opened(parts) as user:
        user.find(kind=QueueBoard).trigger('stop', ['a'])
        await user.should_see('That did not work: something is wrong on our side.')
        await user.should_not_see('secret detail')
    assert 'secret detail' in caplog.text


def press(user: User, name: str) -> None:
    """Click what a screen reader calls ``name``; the simulation has no bubbling, so a text inside will not do."""
    found = {element for element in user.find(kind=ui.element).elements if element.props.get('aria-label') == name}
    assert found, f'nothing is called {name!r}'
    UserInteraction(user, found, None).click()


async def go(user: User, path: str) -> None:
    with user:
        await user.client.sub_pages_router._handle_navigate(path)


# Small pieces


async def test_a_watch_ends_with_its_place_on_the_page():
    told, listening = [], []

    def subscribe(callback):
        listening.append(callback)
        return lambda: listening.remove(callback) if callback in listening else None

    async with user_simulation(root=lambda: None) as user:
        await user.open('/')
        with user:
            with ui.column() as place:
                watch(subscribe, lambda: told.append(ui.label('made in place').parent_slot.parent is place))
            listening[0]()
            assert told == [True]
            place.clear()
        assert not listening


def test_every_priority_has_a_level():
    assert [theme.level(p) for p in (0, 1, 3, 4, 5, 7, 8, 10, 12, 13, 15)] == [
        'p-low', 'p-low', 'p-low', 'p-normal', 'p-normal', 'p-normal', 'p-high', 'p-high', 'p-high', 'p-real', 'p-real',
    ]  # fmt: skip
