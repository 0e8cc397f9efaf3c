"""Schedules as the client of ollama-queue knows them, ``/api/cron``: the schedules of the queue in other words."""

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import trouble
from app.api.seeds import calls, routes, tasks, words
from app.api.seeds.calls import Seeds
from app.api.trouble import Trouble
from broker import errors, protocol
from broker.client import new_job_id

PAGE = 100
MOST = 10_000


class Cron:
    """The schedules."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds

    async def add(self, request: Request) -> Response:
        """``POST /api/cron``."""
        asked = await routes.fields(request)
        schedule = self._schedule(asked, routes.string(asked, 'id', most=100) or new_job_id())
        await self._set(schedule)
        return routes.answer(_told(await self._info(schedule.schedule_id)), 201)

    async def find(self, request: Request) -> Response:
        """``GET /api/cron``."""
        query = request.query_params
        enabled, names = query.get('enabled', ''), query.getlist('name')
        limit, offset = (
            routes.whole_number(request, 'limit', MOST, 0, MOST), routes.whole_number(request, 'offset', 0, 0, MOST)
        )  # fmt: skip
        found = [
            _told(each)
            for each in await self._all()
            if (not enabled or each.schedule.enabled == (enabled.lower() == 'true'))
            and (not names or each.schedule.name in names)
        ]
        return routes.answer(found[offset : offset + (limit or MOST)])

    async def get(self, schedule_id: str) -> Response:
        """``GET /api/cron/:id``."""
        return routes.answer(_told(await self._info(schedule_id)))

    async def replace(self, request: Request, schedule_id: str) -> Response:
        """``PUT /api/cron/:id``."""
        known = (await self._info(schedule_id)).schedule
        schedule = self._schedule(await routes.fields(request), schedule_id, known.timezone)
        await self._set(msgspec.structs.replace(schedule, missed=known.missed))
        return routes.answer(_told(await self._info(schedule_id)))

    async def enable(self, schedule_id: str, enabled: bool) -> Response:
        """``PUT /api/cron/:id/enable`` and ``…/disable``."""
        await self._set(msgspec.structs.replace((await self._info(schedule_id)).schedule, enabled=enabled))
        return routes.answer({'status': 'ok'})

    async def remove(self, schedule_id: str) -> Response:
        """``DELETE /api/cron/:id``."""
        try:
            await self._seeds.doors.broker.remove_schedule(schedule_id)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        return routes.answer({'status': 'ok'})

    def _schedule(self, asked: dict[str, Any], schedule_id: str, timezone: str = 'UTC') -> protocol.Schedule:
        cron = routes.string(asked, 'cron_expr')
        if not cron:
            raise Trouble('bad_request', 'cron_expr is required, five fields like 0 9 * * 1-5', param='cron_expr')
        template = routes.mapping(asked, 'task_template')
        job = tasks.request_of(self._seeds, template)
        return protocol.Schedule(
            schedule_id=schedule_id,
            name=routes.string(asked, 'name') or schedule_id,
            cron=cron,
            kind=job.kind,
            model=job.model,
            body=job.body,
            timezone=routes.string(asked, 'timezone') or timezone,
            enabled=asked.get('enabled') is not False,
            priority=tasks.priority_of(template),
            max_failures=job.max_failures,
        )

    async def _set(self, schedule: protocol.Schedule) -> None:
        try:
            await self._seeds.doors.broker.set_schedule(schedule)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    async def _all(self) -> list[protocol.ScheduleInfo]:
        found: list[protocol.ScheduleInfo] = []
        more = True
        while more and len(found) < MOST:
            after = found[-1].schedule.schedule_id if found else ''
            try:
                page = await self._seeds.doors.broker.schedules(after_id=after, limit=PAGE, runs=1)
            except errors.BrokerError as error:
                raise trouble.of_broker(error) from None
            found += page.schedules
            more = page.more and bool(page.schedules)
        return found

    async def _info(self, schedule_id: str) -> protocol.ScheduleInfo:
        found = [each for each in await self._all() if each.schedule.schedule_id == schedule_id]
        if not found:
            raise Trouble('not_found', f'there is no schedule {schedule_id[:60]}')
        return found[0]


def add(paths: APIRouter, cron: Cron) -> None:
    """Its paths."""
    paths.add_api_route('/api/cron', cron.add, methods=['POST'], summary='A new schedule')
    paths.add_api_route('/api/cron', cron.find, methods=['GET'], summary='The schedules')
    paths.add_api_route('/api/cron/{schedule_id}', cron.get, methods=['GET'], summary='One schedule')
    paths.add_api_route('/api/cron/{schedule_id}', cron.replace, methods=['PUT'], summary='Change a schedule')
    paths.add_api_route('/api/cron/{schedule_id}', cron.remove, methods=['DELETE'], summary='Remove a schedule')

    @paths.put('/api/cron/{schedule_id}/enable', summary='Let a schedule make jobs')
    async def enable(schedule_id: str) -> Response:
        return await cron.enable(schedule_id, True)

    @paths.put('/api/cron/{schedule_id}/disable', summary='Let a schedule rest')
    async def disable(schedule_id: str) -> Response:
        return await cron.enable(schedule_id, False)


def _told(info: protocol.ScheduleInfo) -> dict[str, Any]:
    schedule = info.schedule
    body = calls.fields_of(schedule.body)
    told: dict[str, Any] = {
        'id': schedule.schedule_id,
        'name': schedule.name,
        'cron_expr': schedule.cron,
        'timezone': schedule.timezone,
        'enabled': schedule.enabled,
        'task_template': {
            'type': schedule.kind,
            'model': schedule.model,
            'priority': schedule.priority,
            'payload': tasks.payload_of(body),
            'options': body.get('options') or {},
        },
    }
    if info.next_runs and schedule.enabled:
        told['next_run'] = words.rfc3339(info.next_runs[0])
    if schedule.last_tick:
        told['last_run'] = words.rfc3339(schedule.last_tick)
    return told
