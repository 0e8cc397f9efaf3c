"""What another order of the queue would have done with the jobs of the time that is shown; played when asked for."""

import asyncio
import logging
import math
import time
from typing import Any, Self

import msgspec
from nicegui import background_tasks, ui

from analytics import errors
from app.charts import rehearsals, verdict
from app.charts.part import REBUILDING, UNREADABLE, Part, Round, section
from app.charts.question import Question, Window
from app.components.figure_table import FigureTable
from app.components.live_chart import LiveChart
from app.components.replay_panel import ReplayPanel
from app.i18n import N_, speech

MOST_SLOTS, MOST_RESIDENT, MOST_WORKERS = 1024, 100, 64
COLOURS = {'recorded': '--ink3', 'fifo': '--c3', 'priority': '--c2', 'fair': '--c4', 'affinity': '--accent'}
NO_JOBS = N_('No job that ran ended in this time. Choose a longer one above.')
BROKE_OFF = N_('The replay broke off. The log of the desk says why; try it once more.')
STOPPED = N_('Stopped.')
OTHER_TIME = N_('The time above has changed since; play the jobs again for that one.')

log = logging.getLogger(__name__)


def create() -> list[Part]:
    """Build the section."""
    replay = _Replay()
    return [Part(replay.panel, replay.learn, live=False)]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The machines that are asked about: slots by worker, models in memory; what is not there is as it was."""

    slots: dict[str, int] = {}
    resident: int | None = None

    @classmethod
    def read(cls, sent: Any) -> Self:
        """What a browser sent. Raises ``ValueError`` when it is not that."""
        try:
            wish = msgspec.convert(sent, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None
        numbers = [(n, MOST_SLOTS) for n in wish.slots.values()] + [
            (1 if wish.resident is None else wish.resident, MOST_RESIDENT)
        ]
        if len(wish.slots) > MOST_WORKERS or not all(1 <= n <= most for n, most in numbers):
            raise ValueError('not such machines')
        return wish


class _Replay:
    """The panel, at most one replay for it, and the figures of the last one."""

    def __init__(self) -> None:
        self._said = speech()
        self._round: Round | None = None
        self._workers: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._phase, self._share, self._note = 'idle', None, ''
        self._found: rehearsals.Comparison | None = None
        self._asked: tuple[Question, Wish] | None = None  # what it was found for
        self._figures: _Figures | None = None
        hint = N_('Jobs once more through the queue’s own scheduling, in four orders; the filters above do not apply')
        with section(N_('What another order would have done'), hint=hint) as self._place:
            self.panel = ReplayPanel(on_run=self._run, on_stop=self._stop).classes('whole')
        self._said.on_switch(self.panel, self._say)

    async def learn(self, round_: Round) -> None:
        """Which time is shown, and the workers of that time. Raises as the ledger does."""
        self._round = round_
        self._workers = (await round_.ask('choices')).workers[:MOST_WORKERS]
        self._say()

    def _run(self, sent: Any) -> None:
        if self._round is None or (self._task is not None and not self._task.done()):
            return
        try:
            wish = Wish.read(sent)
        except ValueError:  # the browser lets nobody write that
            return
        self._task = background_tasks.create(self._play(self._round, wish), name='replay')

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _play(self, round_: Round, wish: Wish) -> None:
        self._phase, self._share, self._note = 'queued' if rehearsals.busy() else 'running', None, ''
        self._say()
        try:
            found = await self._compared(round_, round_.question.window(time.time()), wish)
            self._note = '' if found.jobs else NO_JOBS
            self._found, self._asked = (found if found.jobs else None), (round_.question.over_time(), wish)
        except asyncio.CancelledError:
            self._note = STOPPED
            raise
        except errors.Rebuilding:
            self._note = REBUILDING
        except errors.AnalyticsError:
            self._note = UNREADABLE
        except rehearsals.RehearsalFailed:
            self._note = BROKE_OFF
        except Exception:
            log.exception('a replay failed', extra={'action': 'replay'})
            self._note = BROKE_OFF
        finally:
            self._phase, self._share = 'idle', None
            self._say()

    async def _compared(self, round_: Round, window: Window, wish: Wish) -> rehearsals.Comparison:
        return await rehearsals.compare(
            round_.book,
            round_.broker,
            since=window.since,
            until=window.until,
            slots=wish.slots,
            resident=wish.resident,
            progress=self._reach,
        )

    def _reach(self, share: float) -> None:
        """So much is done; whole percents are told, the others are too many."""
        share = math.floor(100 * share) / 100
        if self._phase != 'running' or share != self._share:
            self._phase, self._share = 'running', share
            self._say()

    def _say(self) -> None:
        if self.panel.is_deleted:
            return
        found = self._found
        if found is not None:
            if self._figures is None:
                with self._place:
                    self._figures = _Figures()
            self._figures.show(self._said, found)
        if self._figures is not None:
            self._figures.hide(found is None)
        self.panel.show(self._state(found))

    def _state(self, found: rehearsals.Comparison | None) -> dict[str, Any]:
        said = self._said
        state: dict[str, Any] = {'phase': self._phase, 'share': self._share, 'workers': self._workers}
        note = self._note
        if found is not None and self._asked is not None and self._round is not None:
            question, wish = self._asked
            note = note or (OTHER_TIME if question != self._round.question.over_time() else '')
            state |= {
                'lines': verdict.findings(said, found),
                'about': said.trn(
                    '{n} job that ended {time}.', '{n} jobs that ended {time}.', found.jobs, time='{time}'
                ),
                'notes': verdict.asked_for(said, found, wish.slots, wish.resident),
                'since': found.since,
                'until': found.until,
            }
        return {**state, 'note': note and said.tr(note)}


class _Figures:
    """A table and two charts; they are built when there is something to show."""

    def __init__(self) -> None:
        self._table = FigureTable(
            file='orders',
            title=N_('Waits by order'),
            hint=N_('Outages and pauses happened once and are not played again; limits are those of now'),
            bar=2,
            columns=[
                ('text', N_('Order')),
                ('time', N_('Half within')),
                ('time', N_('95% within')),
                ('time', N_('Longest wait')),
                ('count', N_('Model loads')),
                ('share', N_('Slots busy')),
                ('text', N_('How it goes')),
            ],
        ).classes('whole')
        self._levels = _chart('orders-priority', N_('Wait by priority'), N_('Priority'))
        self._users = _chart('orders-user', N_('Wait by user'), N_('User'))

    def show(self, said: Any, found: rehearsals.Comparison) -> None:
        """Show these."""
        self._table.show_rows(verdict.rows(said, found))
        for chart, told in ((self._levels, verdict.levels), (self._users, verdict.users)):
            names, series = told(said, found)
            chart.style(f'--groups:{len(names)}')
            chart.show(names=names, series=series)

    def hide(self, hidden: bool) -> None:
        """Or show again what was hidden."""
        parts: tuple[ui.element, ...] = (self._table, self._levels, self._users)
        for part in parts:
            part.classes(add='gone') if hidden else part.classes(remove='gone')


def _chart(file: str, title: str, name: str) -> LiveChart:
    series = [{'id': order, 'colour': colour} for order, colour in COLOURS.items()]
    texts = {'title': title, 'name': name, **verdict.ORDERS}
    return LiveChart(
        'ranks', 'time', file=file, beside=True, series=series, hint=N_('95% waited at most so long'), **texts
    ).classes('beside')
