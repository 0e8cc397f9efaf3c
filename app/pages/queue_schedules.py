"""Schedules: jobs that are made again and again; add, change, switch, run and remove them."""

import time
from typing import Any

import msgspec
from nicegui import background_tasks, ui

from app import zones
from app.components.schedules import Schedules
from app.i18n import speech
from app.jobs import cron_words, job_story, refusals, schedule_form
from app.parts import Parts
from app.shell import theme
from app.soon import Soon
from app.visit import watch
from broker import client, errors, protocol
from broker.job import FINAL

EVERY_S = 3.0  # asked again at most this often while jobs come and go
MOST = 1_000
MAX_NAME = 200


def create(parts: Parts) -> None:
    """Build what stands under the tab."""
    page = _Page(parts)
    page.element = element = Schedules(
        {'ready': False, 'schedules': [], 'models': [], 'zones': list(zones.names())},
        save=page.save,
        preview=page.preview,
        switch=page.switch,
        remove=page.remove,
        run=page.run,
        load=page.load,
    )
    with element:
        theme.empty(
            'clock',
            'No schedule yet',
            'A schedule asks the same question again and again, say every morning at seven. Its jobs go through the '
            'queue like all others.',
        )
    watch(parts.board.on_queue, Soon(element, page.load, EVERY_S))
    speech().on_switch(element, page.anew)
    background_tasks.create(page.load(), name='read the schedules', context=element)


class _Page:
    element: Schedules

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known: dict[str, protocol.Schedule] = {}
        self._over: dict[str, dict[str, Any] | None] = {}  # last jobs that will not change any more

    def anew(self) -> None:
        """In the language that the page has now."""
        background_tasks.create(self.load(), name='read the schedules', context=self.element)

    async def load(self) -> None:
        """Read all schedules and show them."""
        try:
            found = await self._all()
            last = [await self._last(each.schedule) for each in found]
        except errors.BrokerError:
            return  # the banner says that the queue does not answer
        self._known = {each.schedule.schedule_id: each.schedule for each in found}
        if not self.element.is_deleted:
            models = [model.name for model in self._parts.board.models()]
            rows = [self._row(each, job) for each, job in zip(found, last, strict=True)]
            self.element.show({'ready': True, 'schedules': rows, 'models': models, 'now': time.time()})

    async def _all(self) -> list[protocol.ScheduleInfo]:
        found: list[protocol.ScheduleInfo] = []
        more = True
        while more and len(found) < MOST:
            after_id = found[-1].schedule.schedule_id if found else ''
            page = await self._parts.broker.schedules(after_id=after_id, runs=3)
            found += page.schedules
            more = page.more
        return found

    async def _last(self, schedule: protocol.Schedule) -> dict[str, Any] | None:
        """The job of the newest tick, when it is still known."""
        if not schedule.last_tick:
            return None
        job_id = client.tick_id(schedule.schedule_id, schedule.last_tick)
        view = self._parts.board.job(job_id)
        if view is not None:
            return {'id': job_id, 'state': str(view.state), 'at': view.queued_at}
        if job_id in self._over:
            return self._over[job_id]
        found = await self._elsewhere(job_id)
        if found is None or found['state'] in FINAL:
            self._over[job_id] = found
        return found

    async def _elsewhere(self, job_id: str) -> dict[str, Any] | None:
        """A job that the board does not know (any more); None where the queue has forgotten it, too."""
        try:
            job = (await self._parts.broker.get(job_id)).job
        except errors.Refused:
            return None
        return {'id': job_id, 'state': str(job.state), 'at': job.queued_at}

    def _row(self, found: protocol.ScheduleInfo, last: dict[str, Any] | None) -> dict[str, Any]:
        each, said = found.schedule, speech()
        return {
            'id': each.schedule_id,
            'name': each.name or each.schedule_id,
            'cron': each.cron,
            'words': cron_words.words(each.cron, said),
            'timezone': each.timezone,
            'next': list(found.next_runs),
            'enabled': each.enabled,
            'missed': each.missed,
            'kind': each.kind,
            'model': each.model,
            'priority': each.priority,
            'user': each.user,
            'last': last,
            **(asked := schedule_form.asked(each)),
            'says': asked['prompt'] or job_story.question(each.body),
        }

    def preview(self, cron: str, zone: str) -> None:
        """What the line of the form means, while it is being written."""
        field, why = cron_words.problem(cron, zone, speech())
        runs = [] if field else cron_words.next_runs(cron, zone, 3, time.time())
        self.element.run_method(
            'preview', {'field': field, 'why': why, 'words': cron_words.words(cron, speech()), 'next': runs}
        )

    async def save(self, fields: dict[str, Any]) -> None:
        """Make or replace a schedule; what is wrong is said beside its field."""
        form = msgspec.convert(fields, schedule_form.Form, strict=False)
        field, why = _wrong(form)
        if not field:
            try:
                await self._parts.broker.set_schedule(schedule_form.schedule(form, self._known.get(form.id)))
            except errors.Refused as error:
                field, why = _field_of(error.detail), _why(error)
            except errors.BrokerError as error:
                field, why = 'name', refusals.why(error, speech())
        if field:
            self.element.run_method('refused', field, why)
            return
        self.element.run_method('saved')
        theme.toast(speech().tr('The schedule is saved.'))
        await self.load()

    async def switch(self, schedule_id: str, on: bool) -> None:
        """On or off."""
        if schedule := self._known.get(schedule_id):
            done = speech().tr('The schedule is on.') if on else speech().tr('The schedule is off.')
            await self._wish(self._parts.broker.set_schedule(msgspec.structs.replace(schedule, enabled=on)), done)

    async def remove(self, schedule_id: str) -> None:
        """For good; offered back for a few seconds."""
        schedule = self._known.get(schedule_id)
        if schedule is not None:
            await self._wish(self._parts.broker.remove_schedule(schedule_id), speech().tr('The schedule is removed.'))

    async def run(self, schedule_id: str) -> None:
        """Its job, now."""
        schedule = self._known.get(schedule_id)
        if schedule is None:
            return
        order = protocol.Submit(
            job_id=client.new_job_id(),
            kind=schedule.kind,
            model=schedule.model,
            body=schedule.body,
            path=schedule.path,
            priority=schedule.priority,
            user=schedule.user,
            max_failures=schedule.max_failures,
        )
        try:
            accepted = await self._parts.broker.submit(order)
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
        else:
            said, path = speech(), f'/jobs/{accepted.job_id}'
            theme.toast(
                said.tr('Its job is in the queue.'), action=(said.tr('Open the job'), lambda: ui.navigate.to(path))
            )

    async def _wish(self, asked: Any, done: str) -> None:
        try:
            await asked
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
        else:
            theme.toast(done)
        await self.load()


def _wrong(form: schedule_form.Form) -> tuple[str, str]:
    """The field that cannot be taken as it is, and why."""
    said = speech()
    if not form.name.strip():
        return 'name', said.tr('Give it a name, so that you know it again.')
    if len(form.name) > MAX_NAME:
        return 'name', said.tr('A name may have {n} characters.', n=MAX_NAME)
    field, why = cron_words.problem(form.cron, form.timezone.strip(), said)
    if field:
        return field, why
    if not form.model:
        return 'model', said.tr('Pick the model that is to answer.')
    if not form.id and not form.prompt.strip():
        return 'prompt', said.tr('Write what it is to ask.')
    return '', ''


def _why(error: errors.Refused) -> str:
    return error.detail if error.code == 'bad_request' else refusals.why(error, speech())


def _field_of(detail: str) -> str:
    """The form's field that a refusal of the queue names."""
    words = {'cron': 'cron', 'time zone': 'timezone', 'model': 'model', 'body': 'prompt', 'priority': 'priority'}
    return next((field for word, field in words.items() if word in detail), 'name')
