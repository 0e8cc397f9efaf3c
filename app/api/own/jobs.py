"""Jobs: queue, find, read, follow, cancel, move and replay them."""

import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Header, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api import presence
from app.api.own import told
from app.api.own.events import Telling, lines_of, place_of
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.wanted import Filter, Find, JobRequest, PriorityChange
from app.api.trouble import Trouble
from broker import protocol
from broker.client import replay_id

MAX_WAIT_S = 600.0
JobPath = Annotated[str, Path(description='The id of the job.', max_length=64)]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_S, allow_inf_nan=False, description='Wait so long for its end, s.')]
Key = Annotated[str, Header(alias='Idempotency-Key', max_length=200, description='As `idempotency_key`.')]
LastEvent = Annotated[str, Header(alias='Last-Event-ID', max_length=60, description='Go on behind this event.')]
Lines = {'application/x-ndjson': {'schema': {'type': 'string'}}}
Events = {'text/event-stream': {'schema': {'type': 'string'}}}
SSE = {'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no'}


class History(BaseModel):
    """All that happened to a job."""

    id: str
    attempts: list[told.Attempt]
    facts: list[told.AnyFact]


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/jobs``."""
    made = router('Jobs')
    _submitting(made, room)
    _finding(made, room)
    _reading(made, room)
    _changing(made, room)
    return made


def _submitting(made: APIRouter, room: Room) -> None:
    @made.post(
        '/api/jobs',
        status_code=202,
        response_model=told.Submitted,
        summary='Queue a job',
        responses={
            200: {
                'model': told.Submitted,
                'description': 'It was there before, or it ended within `wait`.',
            },
            202: {'description': 'It is on disk and waits.'},
            **documented(400, 409, 415, 429, 507),
        },
    )
    async def submit(
        request: Request, response: Response, asked: Annotated[JobRequest, Body()], wait: Wait = 0.0, key: Key = ''
    ) -> dict[str, Any]:
        """The reply comes when the job is on disk; with `wait` it comes with the result, if that is there by then.

        The job goes on whether its caller stays or not. Send the same `Idempotency-Key` (or `id`) with the same request
        again and it is the same job; with another request the key is refused (409).
        """
        order = room.order(asked, request, time.time())
        if key:
            if asked.idempotency_key and asked.idempotency_key != key:
                raise Trouble('invalid', 'the header Idempotency-Key and the field idempotency_key differ')
            order = msgspec.structs.replace(order, idempotency_key=key)
        accepted = await room.broker.submit(order)
        state = await presence.while_there(request, room.ended(accepted.job_id, wait))
        response.headers['Location'] = f'/api/jobs/{accepted.job_id}'
        made = _job(room, state) | {'duplicate': accepted.duplicate, 'result': None}
        if wait and state.job.ended_at:
            made['result'] = told.result(state.job, await room.broker.read_all(accepted.job_id), with_lines=False)
        if accepted.duplicate or made['result'] is not None:
            response.status_code = 200
        return made


def _finding(made: APIRouter, room: Room) -> None:
    @made.get('/api/jobs', response_model=told.Jobs, summary='Find jobs', responses=documented())
    async def find(asked: Annotated[Find, Query()]) -> dict[str, Any]:
        """Filters that are left out let everything through."""
        query = asked.query(known_model(room, asked), tuple(asked.state))
        if asked.order == 'oldest':
            query = msgspec.structs.replace(query, before_order=0, after_order=asked.cursor, oldest_first=True)
        return await page(room, query)

    @made.get('/api/jobs/{id}', response_model=told.Job, summary='One job', responses=documented(404))
    async def get(id: JobPath) -> dict[str, Any]:
        """While it waits, `wait` has its place, when it will probably start, why it waits, and what would be faster."""
        return _job(room, await room.broker.get(id))

    @made.get('/api/jobs/{id}/history', response_model=History, summary='All that happened', responses=documented(404))
    async def history(id: JobPath) -> Any:
        """Every attempt with its error and the stack trace of the worker: the operator's error log of this job."""
        found = await room.broker.history(id)
        if not found:
            await room.broker.get(id)  # 404, unless its facts are older than what is kept
        return {
            'id': id,
            'attempts': told.past(found),
            'facts': [msgspec.to_builtins(fact) for fact in found],
        }


def _reading(made: APIRouter, room: Room) -> None:
    @made.get('/api/jobs/{id}/result', response_model=told.Result, summary='What it said', responses=documented(404))
    async def result(
        request: Request,
        id: JobPath,
        wait: Wait = 0.0,
        lines: Annotated[bool, Query(description='With the raw lines.')] = False,
    ) -> dict[str, Any]:
        """So far, or for good: then it is `complete`."""
        state = await presence.while_there(request, room.ended(id, wait))
        return told.result(state.job, await room.broker.read_all(id), with_lines=lines)

    @made.get(
        '/api/jobs/{id}/lines',
        response_class=Response,
        summary='The lines of the engine as they came',
        responses={200: {'content': Lines, 'description': 'One JSON object a line.'}, **documented(404)},
    )
    async def lines(
        id: JobPath,
        start: Annotated[int, Query(alias='from', ge=0, le=2**53, description='The first line that you want.')] = 0,
        epoch: Annotated[int, Query(ge=0, le=2**53, description='Of which run; of another one you get all.')] = 0,
    ) -> Response:
        """`X-Queue-Epoch`, `X-Queue-From` and `X-Queue-Total` tell what this is, `X-Queue-Ended` whether it is all."""
        part = await room.broker.read_all(id, epoch, start)
        told_of = {'Epoch': part.epoch, 'From': part.index, 'Total': part.total, 'Ended': str(part.ended).lower()}
        headers = {f'X-Queue-{name}': str(value) for name, value in told_of.items()}
        return Response(lines_of(part), headers=headers, media_type='application/x-ndjson')

    @made.get(
        '/api/jobs/{id}/events',
        response_class=Response,
        summary='Follow it live',
        responses={
            200: {'content': Events, 'description': 'Events `state`, `line`, `reset` and `end`.'},
            204: {'description': 'The client has seen the end.'},
            **documented(404),
        },
    )
    async def events(
        id: JobPath, last_event_id: LastEvent = '', after: Annotated[str, Query(max_length=60)] = ''
    ) -> Response:
        """Server-sent events. `line` is a line of the engine, its id `epoch-index`; a client that comes back with
        `Last-Event-ID` (or `after`) goes on behind it, with no gap and nothing twice. `reset` says that the job began
        anew and what was said before does not count; `state` tells of its place and its state, `end` how it ended.
        """
        place = place_of(last_event_id or after)
        found = (await room.broker.get(id)).job
        if place.over:
            return Response(status_code=204)
        return StreamingResponse(Telling(room, found, place).events(), media_type='text/event-stream', headers=SSE)


def _changing(made: APIRouter, room: Room) -> None:
    async def cancel(id: JobPath) -> dict[str, Any]:
        """The reply comes when the wish is on disk. A job that runs is `cancelling` until its slot is free."""
        await room.broker.cancel(id)
        return _job(room, await room.broker.get(id))

    for method, path in (('DELETE', '/api/jobs/{id}'), ('POST', '/api/jobs/{id}/cancel')):
        made.add_api_route(
            path,
            cancel,
            methods=[method],
            response_model=told.Job,
            summary='Cancel it',
            responses=documented(404, 409),
        )

    @made.patch('/api/jobs/{id}', response_model=told.Job, summary='Move it', responses=documented(400, 404, 409, 415))
    async def move(id: JobPath, asked: Annotated[PriorityChange, Body()]) -> dict[str, Any]:
        """Give a job that waits another priority."""
        await room.broker.set_priority(id, asked.meant())
        return _job(room, await room.broker.get(id))

    @made.post(
        '/api/jobs/{id}/replay',
        status_code=202,
        response_model=told.Submitted,
        summary='Do a dead job again',
        responses={
            200: {'model': told.Submitted, 'description': 'That was done before.'},
            **documented(404, 409, 429, 507),
        },
    )
    async def replay(id: JobPath, response: Response) -> dict[str, Any]:
        """As a new job with clean counters. Asked for twice it is done once."""
        accepted = await room.broker.replay(id, replay_id(id))
        response.headers['Location'] = f'/api/jobs/{accepted.job_id}'
        response.status_code = 200 if accepted.duplicate else 202
        state = await room.broker.get(accepted.job_id)
        return _job(room, state) | {'duplicate': accepted.duplicate}


async def page(room: Room, query: protocol.FindJobs) -> dict[str, Any]:
    """A page of jobs, as ``told.Jobs``."""
    found = await room.broker.find(query)
    jobs = [told.job(job, room.board.job(job.job_id)) for job in found.jobs]
    return {'jobs': jobs, 'next_cursor': found.jobs[-1].order if found.more else None}


def known_model(room: Room, asked: Filter) -> str:
    """The model that a filter names, as it was announced."""
    return (room.board.name_of(asked.model) or asked.model) if asked.model else ''


def _job(room: Room, state: protocol.JobState) -> dict[str, Any]:
    return told.job(state.job, room.board.job(state.job.job_id), state.ahead)
