"""How the queue did: four figures, two charts that move with it, and the models one by one."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import background_tasks, ui

from analytics import errors, queries
from app import theme
from app.components.live_chart import LiveChart
from app.i18n import N_, T, labels, speech
from app.parts import Parts
from app.visit import visit, watch

REFRESH_S = 1.0  # at most this often, however much happens
DRIFT_S = 20.0  # the range moves with the clock even when nothing happens

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Range:
    """How far back the page looks, and how long one step of its charts is."""

    name: str
    span_s: float
    step_s: float


RANGES = {
    '15m': Range(N_('15 min'), 900, 60),
    '1h': Range(N_('1 h'), 3600, 60),
    '24h': Range(N_('24 h'), 86_400, 900),
    '7d': Range(N_('7 d'), 604_800, 7200),
}


def create(parts: Parts) -> None:
    """Build the page."""
    bar, body = theme.page('Analytics')
    with body:
        shown = _Figures(parts)
    with bar:
        theme.box('grow')
        _ranges(shown.refresh_soon)
    watch(parts.analytics.watch, shown.refresh_soon)
    ui.timer(DRIFT_S, shown.refresh_soon, immediate=False)
    speech().on_switch(body, shown.say)


def _chosen() -> Range:
    return RANGES[visit().state.get('analytics range', '1h')]


def _ranges(changed: Callable[[], object]) -> None:
    """The choice of how far back to look; kept while the tab is open."""
    buttons: dict[str, ui.element] = {}

    def choose(key: str) -> None:
        visit().state['analytics range'] = key
        for other, button in buttons.items():
            button.props(f'aria-checked={"true" if RANGES[other] is _chosen() else "false"}')
        changed()

    with T(theme.box('seg ranges').props('role=radiogroup'), 'Time range', prop='aria-label'):
        for key, span in RANGES.items():
            buttons[key] = T(theme.text(tag='button').props('type=button role=radio'), span.name)
            buttons[key].props(f'aria-checked={"true" if span is _chosen() else "false"}')
            buttons[key].on('click', lambda key=key: choose(key))


class _Figures:
    """Everything below the bar. It asks analytics, then changes only what is other than before."""

    def __init__(self, parts: Parts) -> None:
        self._book = parts.analytics
        self._summary: queries.Summary | None = None
        self._models: list[queries.ModelSummary] = []
        self._ever = True
        self._problem = ''
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._state = visit().state
        self._speech = speech()
        with theme.box('column analytics') as self._place:
            self._note = theme.text(classes='note gone', tag='p').props('role=status')
            with theme.box('tiles'):
                self._tiles = {name: _Tile(title) for name, title in _TILES.items()}
            with theme.box('charts') as self._charts:
                self._outcomes, self._times = _outcomes(), _times()
            self._table = _Models()
            self._empty = _nothing_yet()
        self._empty.classes('gone')
        self.refresh_soon()

    def refresh_soon(self) -> None:
        """Ask again, now or when the pause after the last time is over."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = background_tasks.create(self._refresh_while_asked(), name='refresh analytics')

    def say(self) -> None:
        """Write all figures in the language of the page."""
        if self._summary is None or self._place.is_deleted:
            return
        for name, (figure, unit, under) in _sayings(self._speech, self._summary).items():
            self._tiles[name].show(figure, unit, under)
        self._table.show(self._speech, self._models)
        self._note.set_text(self._problem and self._speech.tr(self._problem))
        _hide(self._note, not self._problem)

    async def _refresh_while_asked(self) -> None:
        while self._again and not self._place.is_deleted:
            self._again = False
            await self._refresh()
            await asyncio.sleep(REFRESH_S)

    async def _refresh(self) -> None:
        span = RANGES[self._state.get('analytics range', '1h')]
        until = time.time()
        since = until - span.span_s
        try:
            summary = await self._book.summary(since=since, until=until)
            points = await self._book.per_minute(since=since, until=until, step_s=span.step_s)
            models = await self._book.by_model(since=since, until=until)
            ever = summary.total > 0 or (await self._book.summary(since=0.0, until=until)).total > 0
            problem = N_('New jobs cannot be counted at the moment. They will be, as soon as it works again.')
            self._problem = problem if self._book.problem else ''
        except errors.Rebuilding:
            self._again, self._problem = True, N_('The statistics were damaged and are being rebuilt from the queue.')
            return self._complain()
        except errors.Unavailable:
            self._problem = N_('The statistics cannot be read at the moment. The queue itself is not affected.')
            return self._complain()
        if self._place.is_deleted:
            return
        self._summary, self._models, self._ever = summary, models, ever
        self._plot(points, span)
        self.say()
        _hide(self._empty, ever)
        _hide(self._charts, not ever)
        _hide(self._table.element, not models)

    def _plot(self, points: list[queries.Point], span: Range) -> None:
        steps: dict[str, Any] = {'at': [point.at for point in points], 'step_s': span.step_s, 'span_s': span.span_s}
        self._outcomes.show(
            **steps,
            completed=[_round(point.completed) for point in points],
            failed=[_round(point.failed) for point in points],
            cancelled=[_round(point.cancelled) for point in points],
        )
        self._times.show(
            **steps,
            wait=[_round(point.mean_wait_s) for point in points],
            response=[_round(point.mean_response_s) for point in points],
        )

    def _complain(self) -> None:
        if not self._place.is_deleted:
            self._note.set_text(self._speech.tr(self._problem))
            _hide(self._note, False)


_TILES = {
    'total': N_('Jobs ended'),
    'success': N_('Success rate'),
    'response': N_('Mean response time'),
    'throughput': N_('Throughput now'),
}


class _Tile:
    """One figure with its title, its unit and a line of detail."""

    def __init__(self, title: str) -> None:
        with theme.box('tile', tag='section'):
            T(theme.text(tag='h2'), title)
            with theme.box('figure', tag='span'):
                self._figure = theme.text('–')
                self._unit = theme.text(tag='small')
            self._under = theme.text(classes='under')

    def show(self, figure: str, unit: str, under: str) -> None:
        """Change what is other than before."""
        for element, text in ((self._figure, figure), (self._unit, unit), (self._under, under)):
            if element.text != text:
                element.set_text(text)


def _sayings(said: Any, found: queries.Summary) -> dict[str, tuple[str, str, str]]:
    """Figure, unit and detail of each tile."""

    def time_of(value: float | None) -> str:
        return '–' if value is None else said.seconds(value)

    return {
        'total': (
            said.number(found.total),
            '',
            said.tr('{failed} failed, {cancelled} cancelled', failed=found.failed, cancelled=found.cancelled),
        ),
        'success': (
            '–' if found.success_rate is None else said.percent(found.success_rate, 1),
            '',
            said.tr('of completed and failed jobs'),
        ),
        'response': (
            time_of(found.mean_response_s),
            '',
            said.tr('half within {half}, 95% within {most}', half=time_of(found.p50_response_s),
                    most=time_of(found.p95_response_s))
            if found.p50_response_s is not None else '',
        ),
        'throughput': (said.number(found.per_minute_now, 1), said.tr('per minute'), said.tr('over the last 5 minutes')),
    }  # fmt: skip


class _Models:
    """The models one by one."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        with theme.box('models chart-card', tag='section') as self.element:
            T(theme.text(tag='h2'), 'By model')
            with theme.box('scroll'), theme.box('table', tag='table'):
                with theme.box(tag='thead'), theme.box(tag='tr'):
                    T(theme.text(tag='th'), 'Model')
                    for title in _COLUMNS:
                        T(theme.text(classes='num', tag='th'), title)
                self._body = theme.box(tag='tbody')

    def show(self, said: Any, models: list[queries.ModelSummary]) -> None:
        """Change the cells that are other than before."""
        rows = [_cells(said, model) for model in models]
        if [row[0] for row in rows] != [row[0] for row in self._rows]:
            self._body.clear()
            with self._body:
                for row in rows:
                    with theme.box(tag='tr'):
                        for place, cell in enumerate(row):
                            theme.text(cell, 'num' if place else 'mono', tag='td')
        elif rows != self._rows:
            for line, row in zip(self._body, rows, strict=True):
                for element, cell in zip(line, row, strict=True):
                    if element.text != cell:
                        element.set_text(cell)
        self._rows = rows


_COLUMNS = (N_('Jobs'), N_('Success rate'), N_('Response time'), N_('Wait'), N_('Tokens'), N_('Tokens/s'))


def _cells(said: Any, model: queries.ModelSummary) -> tuple[str, ...]:
    decided = model.completed + model.failed
    return (
        model.model,
        said.number(model.total),
        said.percent(model.completed / decided, 1) if decided else '–',
        '–' if model.mean_response_s is None else said.seconds(model.mean_response_s),
        '–' if model.mean_wait_s is None else said.seconds(model.mean_wait_s),
        said.number(model.output_tokens),
        '–' if model.tokens_per_s is None else said.number(model.tokens_per_s, 1),
    )


def _outcomes() -> LiveChart:
    with theme.box('chart-card', tag='section'):
        T(theme.text(tag='h2'), 'Jobs per minute')
        return labels(
            LiveChart('outcomes'),
            title='Jobs per minute',
            completed='Completed',
            failed='Failed',
            cancelled='Cancelled',
            rate='{n} per minute',
        )


def _times() -> LiveChart:
    with theme.box('chart-card', tag='section'):
        T(theme.text(tag='h2'), 'Waiting and response time')
        return labels(
            LiveChart('times'),
            title='Waiting and response time',
            wait='Mean wait',
            response='Mean response time',
            seconds='{n} s',
            minutes='{n} min',
        )


def _nothing_yet() -> ui.element:
    with (
        theme.empty(
            'chart',
            'No job has ended yet',
            'Every chat message is a job. As soon as one ends, you see here how long it waited and how it went.',
        ) as element,
        theme.text(tag='a', classes='btn primary').props('href=/chat'),
    ):
        T(theme.text(), 'Write a message')
    return element


def _hide(element: ui.element, hidden: bool) -> None:
    if hidden != ('gone' in element.classes):
        element.classes(add='gone') if hidden else element.classes(remove='gone')


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
