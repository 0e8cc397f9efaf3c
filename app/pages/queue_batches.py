"""Batches: how far each is, its jobs, one cancel for all of them and one file with their results."""

import time
from typing import Any

import msgspec
from nicegui import background_tasks, context

from app.components.batches import Batches
from app.i18n import speech
from app.jobs import refusals
from app.jobs.openings import Openings
from app.parts import Parts
from app.shell import theme
from app.soon import Soon
from app.visit import watch
from broker import errors, protocol
from broker.job import Job, State

EVERY_S = 1.0  # asked again at most this often while jobs come and go
PAGE, MOST = 30, 100
JOBS = 100  # of an open batch at a time
STATES = {
    '': (),
    'running': (State.RUNNING, State.CANCELLING),
    'waiting': (State.WAITING, State.DELAYED, State.BLOCKED),
    'completed': (State.COMPLETED,),
    'dead': (State.DEAD,),
    'cancelled': (State.CANCELLED,),
}


def create(parts: Parts) -> None:
    """Build what stands under the tab."""
    wanted = context.client.sub_pages_router.current_path.partition('id=')[2].partition('&')[0]
    page = _Page(parts, wanted[:64])
    page.element = element = Batches(
        {'ready': False, 'batches': [], 'more': False, 'opened': '', 'jobs': [], 'more_jobs': False, 'state': ''},
        open_batch=page.open,
        cancel=page.cancel,
        more=page.show_more,
    )
    with element:
        theme.empty(
            'queue',
            'No batch yet',
            'A batch is many jobs with one progress and one result. Programs send one to /api/batches, '
            'and the command "batch" makes one from a file.',
        )
    again = Soon(element, page.load, EVERY_S)
    watch(parts.board.on_queue, again)
    watch(parts.openings.on_news, again)
    background_tasks.create(page.load(), name='read the batches', context=element)


class _Page:
    element: Batches

    def __init__(self, parts: Parts, opened: str) -> None:
        self._parts = parts
        self._limit = PAGE
        self._opened = opened
        self._state = ''
        self._jobs = JOBS

    async def load(self) -> None:
        """Read the batches, and the jobs of the one that is open."""
        broker = self._parts.broker
        try:
            found = list(await broker.batches(limit=min(MOST, self._limit + 1)))
            if self._opened and all(batch.batch_id != self._opened for batch in found):
                found.append(await broker.batch(self._opened))
        except errors.Refused:
            self._opened = ''
        except errors.BrokerError:
            return  # the banner says that the queue does not answer
        jobs, more_jobs = await self._jobs_of(self._opened) if self._opened else ([], False)
        if not self.element.is_deleted:
            self.element.show(
                {
                    'ready': True,
                    'now': time.time(),
                    'batches': [msgspec.structs.asdict(batch) for batch in found],
                    'more': len(found) > self._limit and self._limit < MOST,
                    'opened': self._opened,
                    'state': self._state,
                    'jobs': [_brief(job) | _name(self._parts.openings, job.job_id) for job in jobs],
                    'more_jobs': more_jobs,
                }
            )

    async def _jobs_of(self, batch_id: str) -> tuple[list[Job], bool]:
        wanted = protocol.FindJobs(parent=batch_id, states=STATES[self._state], oldest_first=True, limit=self._jobs)
        try:
            page = await self._parts.broker.find(wanted)
        except errors.BrokerError:
            return [], False
        return list(page.jobs), page.more

    async def open(self, batch_id: str, state: str) -> None:
        """Show the jobs of a batch, or ('') of none."""
        self._opened, self._state, self._jobs = batch_id, state if state in STATES else '', JOBS
        await self.load()

    async def show_more(self, what: str) -> None:
        """More batches, or more of the jobs of the one that is open."""
        if what == 'jobs':
            self._jobs = min(1_000, 3 * self._jobs)
        else:
            self._limit = MOST
        await self.load()

    async def cancel(self, batch_id: str) -> None:
        """All its jobs."""
        try:
            await self._parts.broker.cancel_batch(batch_id)
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
        else:
            theme.toast(speech().tr('The batch is cancelled.'))
        await self.load()


def _name(openings: Openings, job_id: str) -> dict[str, Any]:
    return {'says': openings.of(job_id), 'known': openings.looked_up(job_id)}


def _brief(job: Job) -> dict[str, Any]:
    return {
        'id': job.job_id,
        'state': str(job.state),
        'kind': job.kind,
        'model': job.model,
        'code': job.code,
        'waited': (job.started_at or job.ended_at or 0.0) - job.queued_at if job.started_at or job.ended_at else 0.0,
        'ran': job.ended_at - job.started_at if job.started_at and job.ended_at else 0.0,
        'tokens': job.usage.output_tokens,
    }
