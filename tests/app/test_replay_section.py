"""The section of the analytics page that plays jobs once more, without a browser and without playing."""

import asyncio
import contextlib
import time
import types

import pytest
from nicegui.testing import user_simulation

from analytics import errors
from app.charts import rehearsals, replay
from app.charts.part import Round
from app.charts.question import Question
from app.components.figure_table import FigureTable
from app.components.live_chart import LiveChart
from app.components.replay_panel import ReplayPanel
from app.i18n import speech
from tests.app.charts.test_verdict import compared
from tests.app.made_book import Book


class Player:
    """Stands for ``rehearsals.compare``: says what it is told to say, when it is told to."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.answer: object = compared(73, 41)
        self.go = asyncio.Event()
        self.stopped = False

    async def compare(self, ledger, broker, *, progress, **wish):
        self.asked.append(wish)
        self.progress = progress
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Stage:
    """The open section."""

    def __init__(self, user, player: Player, part) -> None:
        self.user, self.player, self.part = user, player, part
        [self.panel] = user.find(kind=ReplayPanel).elements
        self.said = self.panel.client.storage['speech']

    @property
    def state(self) -> dict:
        return self.panel.shown

    async def look(self, **question) -> None:
        """The page shows this time."""
        with self.user.client:
            await self.part.fill(Round(Book(), Question(**question), time.time(), self.said))

    def press(self, name: str, args=None) -> None:
        listener = next(each for each in self.panel._event_listeners.values() if each.type == name)
        with self.user.client:
            listener.handler(types.SimpleNamespace(args=args)) if args is not None else listener.handler()

    async def play(self, answer=None, **wish) -> None:
        """Press the button and have it answered."""
        self.player.answer = answer if answer is not None else self.player.answer
        self.player.go.set()
        self.press('run', {'slots': {}, 'resident': 1, **wish})
        await self.idle()

    async def idle(self) -> None:
        async with asyncio.timeout(60):
            while tasks := [task for task in asyncio.all_tasks() if task.get_name() == 'replay']:
                await asyncio.wait(tasks)


@pytest.fixture
def player(monkeypatch):
    found = Player()
    monkeypatch.setattr(rehearsals, 'compare', found.compare)
    return found


@contextlib.asynccontextmanager
async def opened(player: Player):
    built = []

    def root() -> None:
        speech()
        built[:] = replay.create()

    async with user_simulation(root=root) as user:
        await user.open('/')
        await user.should_see(kind=ReplayPanel)
        yield Stage(user, player, built[0])


async def test_nothing_is_played_until_it_is_asked_for_then_the_time_that_is_shown(player):
    async with opened(player) as stage:
        await stage.look(range='1h')
        assert player.asked == [] and stage.state == {'phase': 'idle', 'share': None, 'workers': ['w'], 'note': ''}
        before = time.time()
        await stage.play(slots={'w': 4}, resident=2)
        [asked] = player.asked
        assert asked['slots'] == {'w': 4} and asked['resident'] == 2
        assert before <= asked['until'] <= time.time() and asked['until'] - asked['since'] == 3600
        assert stage.state['notes'] == ['As if w had 4 slots.', 'As if 2 models fitted into memory at once.']
        await stage.play(compared(73, 41, resident=3), resident=None)
        assert player.asked.pop()['resident'] is None
        assert stage.state['notes'] == ['As recorded, 3 models stayed in memory at once.']
        await stage.play(resident=0)
        await stage.play(resident=10**9)
        await stage.play(slots={'w': 'x'})
        assert len(player.asked) == 1


async def test_what_came_of_it_is_a_sentence_a_table_and_two_charts_in_the_language_of_the_page(player):
    async with opened(player) as stage:
        await stage.look()
        await stage.user.should_not_see(kind=FigureTable)
        await stage.play()
        assert stage.state['lines'][0].startswith('With the order that Corral uses, 95% of the jobs wait at most 41 s')
        assert stage.state['about'] == '20 jobs that ended {time}.'
        [table] = stage.user.find(kind=FigureTable).elements
        assert [row[0] for row in table.shown['rows']][:2] == ['As it happened', 'First come, first served']
        charts = sorted(stage.user.find(kind=LiveChart).elements, key=lambda chart: chart.id)
        assert [chart.shown['names'] for chart in charts] == [['Normal'], ['ana', '(no name)']]
        assert charts[1].shown['series']['fifo'] == [73, 73]
        with stage.user.client:
            stage.said.switch('zh')
        assert stage.state['lines'][0].startswith('按 Corral 的顺序') and table.shown['rows'][0][0] == '实际情况'
        await stage.play(compared(1, 1, jobs=0, recorded=None, outcomes=[]))
        assert stage.state['note'].startswith('这段时间没有') and 'about' not in stage.state
        assert all('gone' in each.classes for each in (table, *charts))
        await stage.play(compared(73, 41))
        assert 'gone' not in table.classes


async def test_figures_of_another_time_than_the_one_above_say_so_filters_do_not_matter(player):
    async with opened(player) as stage:
        await stage.look(range='1h')
        await stage.play()
        await stage.look(range='1h', user='ana', compare=True)
        assert stage.state['note'] == ''
        await stage.look(range='7d')
        assert stage.state['note'] == replay.OTHER_TIME and stage.state['lines']


async def test_whole_percents_are_told_and_it_can_be_stopped(player):
    async with opened(player) as stage:
        await stage.look()
        stage.press('run', {'slots': {}, 'resident': 1})
        await asyncio.sleep(0)
        assert stage.state['phase'] == 'running' and stage.state['share'] is None
        player.progress(0.421)
        told = stage.state
        player.progress(0.429)
        assert stage.state is told and told['share'] == 0.42
        stage.press('run', {'slots': {}, 'resident': 1})  # a second one is not begun
        stage.press('stop')
        await stage.idle()
        assert player.stopped and len(player.asked) == 1
        assert stage.state['phase'] == 'idle' and stage.state['note'] == 'Stopped.'


async def test_who_comes_while_another_is_played_waits_and_is_told(player, monkeypatch):
    monkeypatch.setattr(rehearsals, 'busy', lambda: True)
    async with opened(player) as stage:
        await stage.look()
        stage.press('run', {'slots': {}, 'resident': 1})
        await asyncio.sleep(0)
        assert stage.state['phase'] == 'queued'
        player.progress(0.0)
        assert stage.state['phase'] == 'running' and stage.state['share'] == 0
        with stage.user.client:
            stage.user.client.content.clear()  # the page is left
        await stage.idle()
        assert player.stopped


@pytest.mark.parametrize(
    ('trouble', 'said'),
    [
        (errors.Rebuilding(), replay.REBUILDING),
        (errors.Unavailable(), replay.UNREADABLE),
        (rehearsals.RehearsalFailed(), replay.BROKE_OFF),
        (BrokenPipeError(), replay.BROKE_OFF),
    ],
)
async def test_trouble_is_one_sentence_and_what_was_found_before_stays(player, trouble, said):
    async with opened(player) as stage:
        await stage.look()
        await stage.play()
        await stage.play(trouble)
        assert stage.state['note'] == said and stage.state['phase'] == 'idle' and stage.state['lines']
