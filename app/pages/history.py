"""Every job there was: search, filter, sort, look into it, do it again, and take it away as a file."""

import contextlib
from collections.abc import Callable
from typing import Any

from nicegui import background_tasks, ui
from nicegui.page_arguments import PageArguments
from starlette.datastructures import QueryParams

from app import actions, controls, theme
from app.components.job_grid import Counted, JobGrid
from app.components.last_jobs import COUNT, LastJobs
from app.i18n import N_, T, speech
from app.pages.history_bulk import Bulk
from app.pages.history_preview import Preview
from app.parts import Parts
from app.past.query import LOOK, SPANS, Query
from app.past.routes import FILE
from app.views import JobView
from app.visit import watch
from broker import errors, protocol
from broker.job import FINAL

FORMATS = {'csv': N_('CSV, for spreadsheets'), 'json': N_('JSON'), 'ndjson': N_('JSON, one object a line'),
           'parquet': N_('Parquet, for analyses')}  # fmt: skip
STATES = {
    'waiting': N_('Waiting'),
    'running': N_('Running'),
    'completed': N_('Done'),
    'dead': N_('Failed'),
    'cancelled': N_('Cancelled'),
}
KINDS = {
    '': N_('Any kind'),
    'chat': N_('Chat message'),
    'generate': N_('Text completion'),
    'embed': N_('Embedding'),
    'raw': N_('Other request'),
}
LEVELS = {
    '': N_('Any priority'),
    'low': N_('Low'),
    'normal': N_('Normal'),
    'high': N_('High'),
    'realtime': N_('Realtime'),
}


def create(parts: Parts, arguments: PageArguments | None = None) -> None:
    """Build the page for what the address asks; the job it names is shown beside the table."""
    params = arguments.query_parameters if arguments is not None else QueryParams()
    _History(parts, Query.read(params), str(params.get('job', ''))[:64])


class _History:
    def __init__(self, parts: Parts, query: Query, job_id: str) -> None:
        self._parts, self._query, self._job = parts, query, job_id
        self._new = 0
        self._counted = Counted()
        self._earlier: list[JobView] = []
        with theme.box('page history'):
            with theme.box('page-bar', tag='header'):
                self._bar()
            self._filters()
            self._glanced = theme.box('history-glance')
            with self._glanced:
                self._last = LastJobs(self._open)
            self._said = theme.box('history-said')
            self._bulk = Bulk(parts, lambda: self._query, self._count_of, self._done)
            with theme.box('history-body'):
                with theme.box('history-table'):
                    self._table()
                self._preview = Preview(parts, on_close=lambda: self._open(''), on_change=self._renew)
        actions.offer('Export these jobs as CSV', lambda: self._export('csv'), icon='download')
        watch(parts.board.on_ended, self._ended)
        watch(parts.board.on_queue, self._glance)
        speech().on_switch(self._said, self._say)
        background_tasks.create(self._look_back(), name='look back', context=self._said)
        self._say()
        if job_id:
            self._open(job_id)

    # the parts

    def _bar(self) -> None:
        T(theme.text(tag='h1'), 'History')
        self._total = theme.text(classes='faint history-total').props('role=status')
        theme.box('grow')
        self._newer = theme.button('Show newer jobs', self._renew, icon_name='retry')
        self._newer.set_visibility(False)
        with theme.button('Export', icon_name='download'), controls.menu(right=True):
            for form, name in FORMATS.items():
                controls.item(name, lambda form=form: self._export(form))
        theme.icon_button('retry', 'Load anew', self._renew).classes('tip-left')

    def _filters(self) -> None:
        query = self._query
        with T(theme.box('history-filters').props('role=search'), 'Find jobs', prop='aria-label'):
            self._text = controls.field(
                'Search', query.text, on_change=lambda value: self._change(text=str(value or '').strip()[:300]),
                kind='search', placeholder='Question, answer, title, id or error', live=True, bare=True,
            ).classes('history-search')  # fmt: skip
            self._chips = _Chips(query.states, lambda states: self._change(states=states))
            self._fold = theme.button('Filters', self._unfold, icon_name='sliders').classes('history-fold')
            self._fold.props['aria-expanded'] = 'false'
            self._more = theme.box('history-more')
            with self._more:
                self._span = controls.select(
                    'Time',
                    SPANS | ({'custom': N_('From … to …')}),
                    query.span or _custom(query),
                    on_change=self._time,
                    bare=True,
                )
                self._level = controls.select(
                    'Priority',
                    LEVELS,
                    _one(query.levels),
                    on_change=lambda value: self._change(levels=_some(value)),
                    bare=True,
                )
                self._kind = controls.select(
                    'Kind',
                    KINDS,
                    _one(query.kinds),
                    on_change=lambda value: self._change(kinds=_some(value)),
                    bare=True,
                )
                self._model = _named('Model', query.model, 'history-models', lambda value: self._change(model=value))
                self._user = _named('User', query.user, 'history-users', lambda value: self._change(user=value))
                self._days = theme.box('history-days')
                with self._days:
                    self._first = controls.field(
                        'From',
                        query.first,
                        kind='date',
                        on_change=lambda value: self._change(first=value or '', span=''),
                    )
                    self._last_day = controls.field(
                        'To', query.last, kind='date', on_change=lambda value: self._change(last=value or '', span='')
                    )
                self._clear = theme.button('Clear', self._reset, kind='ghost', icon_name='close')
        self._days.set_visibility(bool(_custom(query)))
        _suggest('history-models', sorted({model.name for model in self._parts.board.models()}))
        _suggest('history-users', sorted({job.user for job in self._parts.board.finished() if job.user}))

    def _unfold(self) -> None:
        """Where there is little room, the other filters are shown when they are wanted."""
        shown = 'open' not in self._more.classes
        self._more.classes(toggle='open')
        self._fold.props['aria-expanded'] = 'true' if shown else 'false'
        self._fold.update()

    def _table(self) -> None:
        query = self._query
        self._grid = JobGrid(
            query.params(), sort=query.sort, up=query.up,
            on_open=self._open, on_chosen=self._bulk.choose,
            on_sorted=lambda sort, up: self._change(sort=sort if sort in protocol.SORTS else 'queued', up=up),
            on_counted=self._count,
        )  # fmt: skip
        with self._grid:
            self._none = theme.empty(
                'history',
                'No job yet',
                'Every question and every call of a program is a job, and stays here as long as the settings say.',
            )
            with self._none, theme.text(tag='a', classes='btn primary').props('href=/chat'):
                T(theme.text(), 'Go to the chat')
            self._nothing = theme.empty(
                'search', 'No job is like that', 'Take a filter away, or look at a longer time.'
            )
            with self._nothing:
                theme.button('Clear the filters', self._reset, kind='primary')

    # what happens

    def _change(self, **changes: Any) -> None:
        query = self._query.but(**changes)
        if query != self._query:
            self._show(query)

    def _show(self, query: Query) -> None:
        self._query = query
        self._new = 0
        self._bulk.choose({})
        self._grid.show(query.params(), sort=query.sort, up=query.up)
        self._address()
        self._say()

    def _address(self) -> None:
        ui.navigate.history.replace(self._query.address(job=self._job))

    def _reset(self) -> None:
        for control in (
            self._text,
            self._model,
            self._user,
            self._first,
            self._last_day,
            self._span,
            self._level,
            self._kind,
        ):
            control.set('')
        self._chips.set(())
        self._days.set_visibility(False)
        self._show(self._query.without_filters())

    def _time(self, value: str) -> None:
        self._days.set_visibility(value == 'custom')
        if value != 'custom':
            self._first.set('')
            self._last_day.set('')
            self._change(span=value, first='', last='')
        else:
            self._change(span='')

    def _open(self, job_id: str) -> None:
        self._job = job_id
        self._grid.mark(job_id)
        self._address()
        background_tasks.create(self._preview.show(job_id), name='look into a job', context=self._said)

    def _renew(self) -> None:
        self._new = 0
        self._bulk.choose({})
        self._grid.renew()
        self._say()

    def _done(self) -> None:
        self._renew()
        if self._job:
            background_tasks.create(self._preview.show(self._job), name='look into a job', context=self._said)

    def _ended(self, _: object) -> None:
        self._new += 1
        self._say()

    async def _look_back(self) -> None:
        """What ended before this desk was started."""
        with contextlib.suppress(errors.BrokerError):
            found = await self._parts.broker.list_jobs(protocol.ListJobs(states=tuple(FINAL), limit=COUNT))
            self._earlier = [JobView(job) for job in found.jobs]
            for view in self._earlier:
                view.ran_s = max(0.0, view.ended_at - view.started_at) if view.started_at else 0.0
            if not self._last.is_deleted:
                self._glance()

    def _glance(self) -> None:
        known = {job.job_id: job for job in (*self._parts.board.finished(), *self._earlier)}
        self._last.show(sorted(known.values(), key=lambda job: -job.ended_at))
        self._glanced.set_visibility(bool(known))

    def _count(self, counted: Counted) -> None:
        self._counted = counted
        self._bulk.say()
        self._say()

    def _count_of(self) -> int:
        return self._counted.total

    def _say(self) -> None:
        said = speech()
        total, complete, looked, going, cut = self._counted
        known = (
            said.trn('{n} job', '{n} jobs', total)
            if complete or not total
            else said.tr('{n} jobs so far', n=said.number(total))
        )
        self._total.set_text(known if complete or total else '')
        self._newer.set_visibility(self._new > 0)
        self._clear.set_visibility(self._query.narrow)
        self._none.set_visibility(not self._query.narrow)
        self._nothing.set_visibility(self._query.narrow)
        self._said.clear()
        if cut:
            told = N_('Only the newest {n} jobs are put in this order; filters bring older ones in.')
            with self._said:
                theme.text(said.tr(told, n=said.number(total)))
        if self._query.text and not complete and looked:
            told = N_('{n} jobs were read for this text, the newest first; {found} have it.')
            with self._said:
                theme.text(said.tr(told, n=said.number(looked), found=said.number(total)))
                if going:
                    theme.text(said.tr('It goes on…'), 'faint')
                else:
                    theme.button('Look further back', lambda: self._grid.go_on(LOOK))

    def _export(self, form: str) -> None:
        ui.download.from_url(self._query.address(FILE, format=form))


class _Chips(ui.element):
    """States that can be switched on and off."""

    def __init__(self, on: tuple[str, ...], change: Callable[[tuple[str, ...]], Any]) -> None:
        super().__init__('div')
        self.classes('history-chips').props('role=group')
        T(self, 'State', prop='aria-label')
        self._on, self._change = set(on), change
        self._buttons: dict[str, ui.element] = {}
        with self:
            for name, msgid in STATES.items():
                button = ui.element('button').classes(f'chip {name}').props('type=button')
                with button:
                    T(theme.text(), msgid)
                self._buttons[name] = button.on('click', lambda name=name: self._press(name))
        self._say()

    def set(self, on: tuple[str, ...]) -> None:
        """Show these as on."""
        self._on = set(on)
        self._say()

    def _press(self, name: str) -> None:
        self._on ^= {name}
        self._say()
        self._change(tuple(each for each in STATES if each in self._on))

    def _say(self) -> None:
        for name, button in self._buttons.items():
            button.props['aria-pressed'] = 'true' if name in self._on else 'false'
            button.update()


def _named(label: str, value: str, names: str, change: Callable[[str], Any]) -> controls.Control:
    limits: dict[str, Any] = {'list': names, 'maxlength': 300}
    return controls.field(
        label, value, on_change=lambda value: change(str(value or '').strip()), placeholder=label, bare=True, **limits
    ).classes('history-name')


def _suggest(name: str, values: list[str]) -> None:
    with ui.element('datalist').props(f'id={name}'):
        for value in values[:200]:
            ui.element('option').props['value'] = value


def _custom(query: Query) -> str:
    return 'custom' if query.first or query.last else ''


def _one(values: tuple[str, ...]) -> str:
    return values[0] if values else ''


def _some(value: str) -> tuple[str, ...]:
    return (value,) if value else ()
