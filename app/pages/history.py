"""Every job there was: search, filter, sort, look into it, do it again, and take it away as a file."""

import contextlib
from typing import Any

from nicegui import background_tasks, ui
from nicegui.page_arguments import PageArguments
from starlette.datastructures import QueryParams

from app.components import controls
from app.components.job_grid import Counted, JobGrid
from app.components.last_jobs import COUNT, LastJobs
from app.i18n import N_, T, speech
from app.pages.history_bulk import Bulk
from app.pages.history_filters import Filters
from app.pages.history_preview import Preview
from app.parts import Parts
from app.past.query import LOOK, Query
from app.past.routes import FILE
from app.shell import actions, theme
from app.views import JobView
from app.visit import watch
from broker import errors, protocol
from broker.job import FINAL

FORMATS = {'csv': N_('CSV, for spreadsheets'), 'json': N_('JSON'), 'ndjson': N_('JSON, one object a line'),
           'parquet': N_('Parquet, for analyses')}  # fmt: skip


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
            self._filters = Filters(parts, query, self._change, self._cleared)
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
        with theme.button('Export', icon_name='download'), controls.menu(right=True):
            for form, name in FORMATS.items():
                controls.item(name, lambda form=form: self._export(form))
        self._anew = theme.icon_button('retry', 'Load anew', self._renew).classes('tip-left history-anew')
        with self._anew:
            self._newer = theme.text()

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
                theme.button('Clear the filters', self._filters.clear, kind='primary')

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

    def _cleared(self) -> None:
        self._show(self._query.without_filters())

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
        self._say_newer()
        self._filters.say(self._query)
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

    def _say_newer(self) -> None:
        """What is read on the button is said first by its name, too."""
        said = speech()
        newer = said.trn('{n} newer', '{n} newer', self._new) if self._new else ''
        self._newer.set_text(newer)
        self._anew.props['aria-label'] = ' · '.join(filter(None, (newer, said.tr('Load anew'))))
        self._anew.update()

    def _export(self, form: str) -> None:
        ui.download.from_url(self._query.address(FILE, format=form))
