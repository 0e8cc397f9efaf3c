"""What failed for good: by error, with every attempt and its stack trace; do it again, or delete it."""

import asyncio
import time
from collections import Counter
from typing import Any

import msgspec
from nicegui import background_tasks, context

from app.components.dead_letters import DeadLetters
from app.i18n import speech
from app.jobs import attempts, bulk, refusals
from app.jobs.dead_filter import DeadFilter
from app.parts import Parts
from app.shell import theme
from app.views import JobView
from app.visit import watch
from broker import client, errors, protocol
from broker.job import Job, State

PAGE, STEP, MOST = 500, 2_000, 20_000  # jobs read at once, at first and on each wish for more, and at the most
ROWS, ROWS_MORE = 100, 300  # of them that the browser gets
SETTLE_S = 0.5  # after a job died, before all are read again: others may follow
Ids = list[str] | None  # None: all that the filter lets through


def create(parts: Parts) -> None:
    """Build what stands under the tab."""
    page = _Page(parts, DeadFilter.of(context.client.sub_pages_router.current_path))
    page.element = element = DeadLetters(
        {'ready': False, 'jobs': [], 'groups': [], 'more': '', 'models': [], 'users': [], 'filter': page.filter},
        choose=page.choose,
        more_rows=page.more_rows,
        older=page.older,
        look=page.look,
        replay=page.replay,
        purge=page.purge,
    )
    with element:
        theme.empty(
            'check',
            'Nothing has failed',
            'A job that fails is tried again by itself. One that still fails is kept here with its errors, '
            'until it is done again or deleted.',
        )
    watch(parts.board.on_ended, page.ended)
    watch(parts.openings.on_news, page.renamed)
    background_tasks.create(page.load(), name='read what failed', context=element)


class _Page:
    element: DeadLetters

    def __init__(self, parts: Parts, chosen: DeadFilter) -> None:
        self._parts = parts
        self._filter = chosen
        self._dead: list[Job] = []
        self._more = False
        self._again: set[str] = set()
        self._waiting = False
        self._most = STEP
        self._rows = ROWS

    @property
    def filter(self) -> dict[str, str]:
        return msgspec.structs.asdict(self._filter)

    def ended(self, job: JobView) -> None:
        """A job ended: news if it died, or if it does a dead one again."""
        if job.state is State.DEAD and not self._waiting:
            self._waiting = True
            background_tasks.create(self._soon(), name='read what failed', context=self.element)

    async def _soon(self) -> None:
        await asyncio.sleep(SETTLE_S * self._most / STEP)  # the more there are, the longer takes reading them
        self._waiting = False
        await self.load()

    async def load(self) -> None:
        """Read the newest of them and show those that the filter lets through."""
        found: list[Job] = []
        more, before = True, 0
        try:
            while more and len(found) < self._most:
                wanted = protocol.FindJobs(states=(State.DEAD,), before_order=before, limit=PAGE)
                page = await self._parts.broker.find(wanted)
                found += page.jobs
                more, before = page.more, page.jobs[-1].order if page.jobs else 0
        except errors.BrokerError:
            return  # the banner says that the queue does not answer
        self._dead, self._more = found, more
        if not self.element.is_deleted:
            self._show()

    def choose(self, fields: dict[str, str]) -> None:
        """Another filter."""
        self._filter = msgspec.convert(fields, DeadFilter)
        self._rows = ROWS
        self._show()

    def more_rows(self) -> None:
        """Show more of those that were read."""
        self._rows += ROWS_MORE
        self._show()

    async def older(self) -> None:
        """Read older ones, too."""
        self._most = min(self._most + STEP, MOST)
        await self.load()

    def renamed(self) -> None:
        """More is known about what they asked."""
        if self._dead and not self.element.is_deleted:
            self._show()

    def _name(self, job: Job) -> str:
        """Titles cost nothing; what jobs ask is looked up where somebody looks for words."""
        title = self._parts.title_of(job.conversation_id)
        return title or (self._parts.openings.of(job.job_id) if self._filter.text else '')

    def _show(self) -> None:
        but_code = msgspec.structs.replace(self._filter, code='')
        rest = [job for job in self._dead if but_code.match(job, self._name(job))]
        shown = [job for job in rest if self._filter.code in ('', job.code)]
        codes = Counter(job.code for job in rest)
        newest = {job.code: job for job in reversed(rest)}
        self.element.show(
            {
                'ready': True,
                'now': time.time(),
                'filter': self.filter,
                'jobs': [self._row(job) for job in shown[: self._rows]],
                'total': len(shown),
                'groups': [
                    {'code': code, 'count': count, 'detail': newest[code].detail[:200], 'model': newest[code].model}
                    for code, count in codes.most_common()
                ],
                'more': ('yes' if self._most < MOST else 'elsewhere') if self._more else '',
                'all': len(self._dead),
                'models': sorted({job.model for job in self._dead}),
                'users': sorted({job.user for job in self._dead if job.user}),
            }
        )

    def _row(self, job: Job) -> dict[str, Any]:
        again = client.replay_id(job.job_id)
        return {
            'id': job.job_id,
            'kind': job.kind,
            'model': job.model,
            'user': job.user,
            'priority': job.priority,
            'title': (title := self._parts.title_of(job.conversation_id)),
            'says': '' if title else self._parts.openings.of(job.job_id),
            'conversation': job.conversation_id,
            'batch': job.parent,
            'schedule': job.terms.schedule,
            'claims': job.claims,
            'requeue': '',
            'state': 'dead',
            'code': job.code,
            'detail': job.detail[:400],
            'starts': job.starts,
            'ended': job.ended_at,
            'again': again if again in self._again or self._parts.board.job(again) is not None else '',
        }

    async def look(self, job_id: str) -> None:
        """Every attempt of one job, with its error and its stack trace."""
        try:
            past = attempts.told(await self._parts.broker.history(job_id))
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
            return
        self.element.run_method('told', job_id, [msgspec.structs.asdict(each) for each in past.attempts])

    async def replay(self, ids: Ids) -> None:
        """Each once more, as a new job."""
        wanted = self._wanted(ids)
        outcome = await bulk.each(self._do_again, wanted)
        if done := outcome.done:
            theme.toast(speech().trn('{n} job is done again.', '{n} jobs are done again.', done))
        self._over(len(wanted) - done, outcome.trouble)

    async def _do_again(self, job_id: str) -> None:
        again = client.replay_id(job_id)
        await self._parts.broker.replay(job_id, again)
        self._again.add(again)

    async def purge(self, ids: Ids) -> None:
        """Delete them with their questions and answers."""
        wanted = self._wanted(ids)
        outcome = await bulk.each(self._parts.broker.purge, wanted)
        if done := outcome.done:
            theme.toast(speech().trn('{n} failed job deleted.', '{n} failed jobs deleted.', done))
        await self.load()
        self._over(len(wanted) - done, outcome.trouble)

    def _wanted(self, ids: Ids) -> list[str]:
        if ids is not None:
            return [str(job_id) for job_id in ids]
        return [job.job_id for job in self._dead if self._filter.match(job, self._name(job))]

    def _over(self, left: int, error: errors.BrokerError | None) -> None:
        self._show()
        if error is not None:
            said, why = speech(), refusals.why(error, speech())
            text = said.trn('{n} job was left as it is: {why}', '{n} jobs were left as they are: {why}', left, why=why)
            theme.toast(text, bad=True)
