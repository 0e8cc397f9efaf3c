"""One job's page: where it stands, its timeline, its attempts, what was asked and what was answered."""

import asyncio
import contextlib
import re
import time
from typing import Any

import msgspec
from nicegui import background_tasks, ui

from app.chats.answer import whole
from app.components.job_story import JobStory
from app.i18n import T, speech
from app.jobs import job_story, queue_view, refusals
from app.parts import Parts
from app.shell import theme
from app.visit import watch
from broker import client, errors, protocol
from broker.job import FINAL, Job, State

AGAIN_S = 0.4  # the facts are asked for at most this often
NEXT = 200  # jobs that came after it, among which those that wait for it are looked for
MOST_TEXT = 400_000  # characters of an answer that are shown
_ID = re.compile(r'[0-9a-f]{32}')


def create(parts: Parts, job_id: str) -> None:
    """Build the page of a job; ``job_id`` comes from the address."""
    _, body = theme.page('Job')
    with body, theme.box('column') as column:
        if not _ID.fullmatch(job_id):
            _unknown()
            return
        with theme.box('skeletons') as wait:
            for height in (32, 96, 220):
                theme.skeleton(height)
    page = _Page(parts, job_id, column, wait)
    background_tasks.create(page.begin(), name='open a job', context=column)


def _unknown() -> None:
    with (
        theme.empty(
            'compass',
            'There is no such job',
            'Its address may be mistyped, or the job is older than what the queue keeps.',
        ),
        theme.text(tag='a', classes='btn primary').props('href=/history'),
    ):
        T(theme.text(), 'Look into the history')


class _Page:
    """What is known of the job, and what the user may do with it."""

    def __init__(self, parts: Parts, job_id: str, place: ui.element, wait: ui.element) -> None:
        self._parts = parts
        self._id = job_id
        self._place = place
        self._wait = wait
        self._element: JobStory | None = None
        self._job: Job | None = None
        self._links: dict[str, Any] = {}
        self._request: dict[str, Any] | None = None
        self._asked_for: tuple[object, ...] = ()
        self._asking = False
        self._says = ''  # how it begins
        self._told = (0, 0, 0)  # epoch, and how much of the answer: characters, and as the browser counts them

    async def begin(self) -> None:
        """Ask for everything and show it."""
        try:
            state = await self._state()
        except errors.Refused:
            state = None
        except errors.BrokerError as error:
            self._wait.clear()
            theme.toast(refusals.why(error, speech()), bad=True)
            return
        if self._place.is_deleted:
            return
        self._wait.delete()
        with self._place:
            if state is None:
                _unknown()
                return
            self._element = JobStory(state, **self._wishes())
            watch(lambda call: self._parts.board.subscribe(self._id, call), self._changed)

    def _wishes(self) -> dict[str, Any]:
        return {
            'stop': self._stop,
            'prioritise': self._prioritise,
            'replay': self._replay,
            'again': self._again,
            'ready': self._say_all,
        }

    async def _state(self) -> dict[str, Any]:
        broker = self._parts.broker
        found, history = await asyncio.gather(broker.get(self._id), broker.history(self._id))
        job = self._job = found.job
        if self._request is None:
            body, (self._says,) = await asyncio.gather(broker.body(self._id), broker.excerpts([self._id]))
            self._request = job_story.request(body)
        story = job_story.Story(job, history)
        if not self._links or job.state in FINAL:
            self._links = await self._linked(job, story)
        view = self._parts.board.job(self._id)
        return {
            'now': time.time(),
            'limit': protocol.STANDING_LIMIT,
            'job': job_story.facts_of(job) | self._name(),
            'row': self._row(view) if view is not None else None,
            'parts': story.parts,
            'events': story.events,
            'links': self._links,
            'request': self._request,
        }

    def _name(self) -> dict[str, str]:
        """Its conversation's title, and how it begins."""
        assert self._job is not None
        return {'title': self._parts.title_of(self._job.conversation_id), 'says': self._says}

    def _row(self, view: Any) -> dict[str, Any]:
        return queue_view.row_of(self._parts, view) | {'behind': None}

    async def _linked(self, job: Job, story: job_story.Story) -> dict[str, Any]:
        """The batch, the schedule and the other jobs that it belongs to."""
        broker = self._parts.broker
        links: dict[str, Any] = {'batch': '', 'schedule': '', 'replay_of': story.replay_of, 'replayed': ''}
        if job.parent:
            links['batch'] = await _or_empty(broker.batch(job.parent), lambda batch: batch.name or job.parent)
        if job.terms.schedule:
            known = await broker.schedules(limit=100, runs=0)
            names = {each.schedule.schedule_id: each.schedule.name for each in known.schedules}
            links['schedule'] = names.get(job.terms.schedule, '')
        if job.state is State.DEAD:
            again = client.replay_id(job.job_id)
            links['replayed'] = await _or_empty(broker.get(again), lambda state: state.job.job_id)
        before = await asyncio.gather(*(self._brief(job_id) for job_id in job.terms.after[:20]))
        links['after'] = [each for each in before if each]
        later = await broker.find(protocol.FindJobs(after_order=job.order, oldest_first=True, limit=NEXT))
        links['next'] = [_brief(each) for each in later.jobs if job.job_id in each.terms.after]
        return links

    async def _brief(self, job_id: str) -> dict[str, Any] | None:
        try:
            return _brief((await self._parts.broker.get(job_id)).job)
        except errors.Refused:
            return {'id': job_id, 'state': '', 'kind': '', 'model': '', 'priority': 5}

    # What changes while the page is open

    def _changed(self) -> None:
        view = self._parts.board.job(self._id)
        if view is None or self._element is None:
            return
        self._say_more()
        row = self._row(view)
        self._element.follow(row, time.time())
        asked_for = (view.state, view.epoch, view.priority, view.requeue_reason, view.claims, view.complete)
        if asked_for != self._asked_for and not self._asking:
            self._asked_for, self._asking = asked_for, True
            background_tasks.create(self._ask_again(), name='read a job again', context=self._place)

    async def _ask_again(self) -> None:
        await asyncio.sleep(AGAIN_S)
        self._asking = False
        if self._place.is_deleted or self._element is None:
            return
        try:
            state = await self._state()
        except errors.BrokerError:
            return  # the next change asks again
        if not self._place.is_deleted:
            self._element.show(state)
            if not state['job']['alive']:
                await self._say_all()  # with the thinking, and what has no words

    # The answer

    async def _say_all(self) -> None:
        """The browser has nothing yet: the whole answer, as the board or the queue has it."""
        if self._element is None or self._job is None:
            return
        view = self._parts.board.job(self._id)
        if view is not None and (view.complete or not view.final):
            text = view.text[:MOST_TEXT]
            self._told = (view.epoch, len(text), _units(text))
            self._element.say(view.epoch, text, view.thinking[:MOST_TEXT], '', live=not view.final)
            return
        try:
            lines = await self._parts.broker.read_all(self._id)
        except errors.BrokerError:
            return
        answer = await whole(lines.epoch, lines.lines)
        if self._place.is_deleted:
            return
        text = answer.text[:MOST_TEXT]
        self._told = (lines.epoch, len(text), _units(text))
        raw = '' if text or answer.thinking else _raw(lines.lines)
        self._element.say(lines.epoch, text, answer.thinking[:MOST_TEXT], raw, live=False)

    def _say_more(self) -> None:
        view = self._parts.board.job(self._id)
        if view is None or self._element is None:
            return
        epoch, length, units = self._told if view.epoch == self._told[0] else (view.epoch, 0, 0)
        more = view.text[length:MOST_TEXT]
        if more or view.final or epoch != self._told[0]:
            self._element.grow(epoch, units, more, live=not view.final)
            self._told = (epoch, length + len(more), units + _units(more))

    # What the user wants

    async def _stop(self) -> None:
        if await self._wish(self._parts.broker.cancel(self._id)):
            theme.toast(speech().tr('Cancelled.'))

    async def _prioritise(self, priority: int) -> None:
        if await self._wish(self._parts.broker.set_priority(self._id, priority)):
            theme.toast(speech().tr('Priority changed.'))

    async def _replay(self) -> None:
        accepted = await self._wish(self._parts.broker.replay(self._id, client.replay_id(self._id)))
        if accepted:
            ui.navigate.to(f'/jobs/{accepted.job_id}')

    async def _again(self) -> None:
        """The same request as a new job, which has nothing to do with a conversation, batch or schedule."""
        job = self._job
        if job is None:
            return
        body = await self._wish(self._parts.broker.body(self._id))
        if not body:
            theme.toast(speech().tr('What was asked is not kept any more.'), bad=True)
            return
        order = protocol.Submit(
            job_id=client.new_job_id(),
            kind=job.kind,
            model=job.model,
            body=body,
            path=job.terms.path,
            priority=job.priority,
            user=job.user,
            max_failures=job.max_failures,
        )
        accepted = await self._wish(self._parts.broker.submit(order))
        if accepted:
            ui.navigate.to(f'/jobs/{accepted.job_id}')

    async def _wish(self, asked: Any) -> Any:
        """Its answer, True where there is none; None when it was refused, which is said."""
        try:
            return await asked or True
        except errors.BrokerError as error:
            if self._element is not None:
                self._element.run_method('settle')
            theme.toast(refusals.why(error, speech()), bad=True)
            return None


async def _or_empty(asked: Any, read: Any) -> str:
    try:
        return str(read(await asked))
    except errors.Refused:
        return ''


def _units(text: str) -> int:
    """How long the browser says it is: it counts UTF-16."""
    return len(text.encode('utf-16-le', 'surrogatepass')) // 2


def _brief(job: Job) -> dict[str, Any]:
    return {
        'id': job.job_id,
        'state': str(job.state),
        'kind': job.kind,
        'model': job.model,
        'priority': job.priority,
    }


def _raw(lines: tuple[bytes, ...]) -> str:
    """An answer without words, e.g. an embedding: its lines as they are, cut where long."""
    text = b'\n'.join(lines)[: 4 * job_story.MOST_RAW].decode('utf-8', 'replace')
    if len(lines) == 1:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
            text = msgspec.json.format(lines[0], indent=2).decode('utf-8', 'replace')
    return text[: job_story.MOST_RAW]
