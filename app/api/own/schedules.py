"""Schedules: jobs that are made again and again."""

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import caller
from app.api.own import mirror
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.wanted import ScheduleChange, ScheduleRequest
from app.api.trouble import Trouble
from broker import protocol
from broker.client import new_job_id

SchedulePath = Annotated[str, Path(description='The id of the schedule.', max_length=64)]
Runs = Annotated[int, Query(ge=0, le=20, description='So many next runs of each.')]
_ID = re.compile(r'[A-Za-z0-9._-]{1,64}', re.ASCII)


class Schedule(mirror.of(protocol.Schedule, name='ScheduleFields', without=('schedule_id', 'body'))):  # type: ignore[misc]
    """A schedule and when it makes its next jobs (unix seconds)."""

    id: str
    body: Any = Field(description='The request to the engine.')
    next_runs: list[float]


class Schedules(BaseModel):
    """Schedules by id."""

    schedules: list[Schedule]
    next_cursor: str | None = Field(description='`cursor` of the next page; null when this is the last.')


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/schedules``."""
    made = router('Schedules')
    _reading(made, room)
    _changing(made, room)
    return made


def _reading(made: APIRouter, room: Room) -> None:
    @made.get('/api/schedules', response_model=Schedules, summary='Schedules', responses=documented())
    async def find(
        cursor: Annotated[str, Query(max_length=64)] = '',
        limit: Annotated[int, Query(ge=1, le=100)] = 100,
        runs: Runs = 3,
    ) -> dict[str, Any]:
        """By id, each with its next runs."""
        found = await room.broker.schedules(after_id=cursor, limit=limit, runs=runs)
        told = [_told(each) for each in found.schedules]
        return {'schedules': told, 'next_cursor': told[-1]['id'] if found.more and told else None}

    @made.get('/api/schedules/{id}', response_model=Schedule, summary='One schedule', responses=documented(404))
    async def get(id: SchedulePath, runs: Runs = 3) -> dict[str, Any]:
        """With its next runs."""
        return _told(await _found(room, id, runs))


def _changing(made: APIRouter, room: Room) -> None:
    async def put(id: SchedulePath, request: Request, asked: Annotated[ScheduleRequest, Body()]) -> dict[str, Any]:
        """A job is made at each tick of `cron`, never two, however often the desk is restarted."""
        if not _ID.fullmatch(id):
            raise Trouble('invalid', 'the id of a schedule has 1 to 64 letters, digits, dots and dashes', param='id')
        await room.broker.set_schedule(_wanted(room, id, request, asked))
        return _told(await _found(room, id, 3))

    made.add_api_route(
        '/api/schedules/{id}',
        put,
        methods=['PUT'],
        response_model=Schedule,
        summary='Make or replace a schedule',
        responses=documented(400, 409, 415, 507),
    )

    @made.post(
        '/api/schedules',
        status_code=201,
        response_model=Schedule,
        summary='Make a schedule',
        responses=documented(400, 409, 415, 507),
    )
    async def post(request: Request, response: Response, asked: Annotated[ScheduleRequest, Body()]) -> dict[str, Any]:
        """As `PUT`, with an id made here."""
        schedule_id = new_job_id()
        response.headers['Location'] = f'/api/schedules/{schedule_id}'
        return await put(schedule_id, request, asked)

    @made.patch(
        '/api/schedules/{id}', response_model=Schedule, summary='Switch it', responses=documented(400, 404, 409, 415)
    )
    async def switch(id: SchedulePath, asked: Annotated[ScheduleChange, Body()]) -> dict[str, Any]:
        """A schedule that is off sleeps and misses nothing."""
        found = (await _found(room, id, 0)).schedule
        await room.broker.set_schedule(msgspec.structs.replace(found, enabled=asked.enabled))
        return _told(await _found(room, id, 3))

    @made.delete(
        '/api/schedules/{id}',
        status_code=204,
        response_class=Response,
        summary='Remove it',
        responses=documented(404),
    )
    async def remove(id: SchedulePath) -> Response:
        """Its jobs stay."""
        await room.broker.remove_schedule(id)
        return Response(status_code=204)


def _wanted(room: Room, schedule_id: str, request: Request, asked: ScheduleRequest) -> protocol.Schedule:
    model = room.model(asked)
    return protocol.Schedule(
        schedule_id=schedule_id,
        name=asked.name or schedule_id,
        cron=asked.cron,
        timezone=asked.timezone,
        enabled=asked.enabled,
        missed=asked.missed,
        kind=asked.kind_meant(),
        model=model,
        body=asked.native(model),
        path=asked.path,
        priority=asked.priority_meant(),
        user=caller.user_of(request, asked.user),
        max_failures=asked.max_failures,
    )


async def _found(room: Room, schedule_id: str, runs: int) -> protocol.ScheduleInfo:
    after = ''
    while True:
        page = await room.broker.schedules(after_id=after, limit=100, runs=runs)
        for each in page.schedules:
            if each.schedule.schedule_id == schedule_id:
                return each
            after = each.schedule.schedule_id
        if not page.more or after > schedule_id:
            raise Trouble('not_found', 'there is no such schedule')


def _told(found: protocol.ScheduleInfo) -> dict[str, Any]:
    fields = msgspec.structs.asdict(found.schedule)
    try:
        body = msgspec.json.decode(fields.pop('body'))
    except (msgspec.MsgspecError, UnicodeError):
        body = None
    return {**fields, 'id': fields.pop('schedule_id'), 'body': body, 'next_runs': list(found.next_runs)}
