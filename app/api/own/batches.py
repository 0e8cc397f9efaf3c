"""Batches: many jobs with one progress, one cancel and one stream of results."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api import caller
from app.api.own import told
from app.api.own.jobs import Lines
from app.api.own.refusal import ErrorDetail, documented, shape
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.wanted import BatchRequest, JobRequest, MoreJobs
from app.api.trouble import Trouble
from broker import protocol
from broker.client import new_job_id
from broker.job import FINAL, Job

BatchPath = Annotated[str, Path(description='The id of the batch.', max_length=64)]


class Item(BaseModel):
    """What became of one job of the request, in its order."""

    id: str
    duplicate: bool = False
    error: ErrorDetail | None = None


class Opened(told.Batch):  # type: ignore[misc, valid-type]
    """A batch with what became of the jobs that came along. Send those again that were refused."""

    items: list[Item]


class Batches(BaseModel):
    """Batches, newest first."""

    batches: list[told.Batch]  # type: ignore[valid-type]


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/batches``."""
    made = router('Batches')
    _filling(made, room)
    _reading(made, room)
    return made


def _filling(made: APIRouter, room: Room) -> None:
    @made.post(
        '/api/batches',
        status_code=202,
        response_model=Opened,
        summary='Begin a batch',
        responses=documented(400, 409, 415, 429, 507),
    )
    async def begin(request: Request, response: Response, asked: Annotated[BatchRequest, Body()]) -> dict[str, Any]:
        """With its jobs, or with the `total` of those that come later."""
        batch_id = new_job_id()
        user = caller.user_of(request, asked.user)
        orders = _orders(room, request, batch_id, user, asked.jobs)
        total = asked.total if asked.total is not None else len(orders)
        await room.broker.open_batch(batch_id, total, name=asked.name, user=user)
        response.headers['Location'] = f'/api/batches/{batch_id}'
        return await _filled(room, batch_id, orders)

    @made.post(
        '/api/batches/{id}/jobs',
        status_code=202,
        response_model=Opened,
        summary='More jobs for a batch',
        responses=documented(400, 404, 409, 415, 429, 507),
    )
    async def more(id: BatchPath, request: Request, asked: Annotated[MoreJobs, Body()]) -> dict[str, Any]:
        """Up to a thousand at a time, until there are `total`."""
        batch = await room.broker.batch(id)
        return await _filled(room, id, _orders(room, request, id, batch.user, asked.jobs))


def _reading(made: APIRouter, room: Room) -> None:
    @made.get('/api/batches', response_model=Batches, summary='Batches', responses=documented())
    async def find(
        user: Annotated[str, Query(max_length=300)] = '', limit: Annotated[int, Query(ge=1, le=100)] = 50
    ) -> dict[str, Any]:
        """Newest first."""
        found = await room.broker.batches(user=user, limit=limit)
        return {'batches': [msgspec.structs.asdict(each) for each in found]}

    @made.get('/api/batches/{id}', response_model=told.Batch, summary='How far it is', responses=documented(404))
    async def get(id: BatchPath) -> dict[str, Any]:
        """It is over when `ended_at` is not 0."""
        return msgspec.structs.asdict(await room.broker.batch(id))

    @made.get(
        '/api/batches/{id}/results',
        response_class=Response,
        summary='All results',
        responses={200: {'content': Lines, 'description': 'One job with its result a line.'}, **documented(404)},
    )
    async def results(
        id: BatchPath, wait: Annotated[bool, Query(description='Also for those that have not ended yet.')] = True
    ) -> Response:
        """One JSON object a line, in the order in which the jobs came: `{"job": …, "result": …}`. It waits for those
        that go on and ends with the batch; with `wait=false` it gives those that have ended.
        """
        await room.broker.batch(id)
        return StreamingResponse(_results(room, id, wait), media_type='application/x-ndjson')

    async def cancel(id: BatchPath) -> dict[str, Any]:
        """Stop all its jobs; it takes no more."""
        await room.broker.cancel_batch(id)
        return msgspec.structs.asdict(await room.broker.batch(id))

    for method, path in (('DELETE', '/api/batches/{id}'), ('POST', '/api/batches/{id}/cancel')):
        made.add_api_route(
            path,
            cancel,
            methods=[method],
            response_model=told.Batch,
            summary='Cancel it',
            responses=documented(404),
        )


def _orders(room: Room, request: Request, batch_id: str, user: str, jobs: list[JobRequest]) -> list[protocol.Submit]:
    """What the queue takes; all of them belong to the user of the batch."""
    now = time.time()
    orders = [room.order(job, request, now) for job in jobs]
    return [msgspec.structs.replace(order, parent=batch_id, user=user) for order in orders]


async def _filled(room: Room, batch_id: str, orders: list[protocol.Submit]) -> dict[str, Any]:
    results = await room.broker.submit_many(orders) if orders else ()
    items = [_item(order, result) for order, result in zip(orders, results, strict=True)]
    return {**msgspec.structs.asdict(await room.broker.batch(batch_id)), 'items': items}


def _item(order: protocol.Submit, result: protocol.Accepted | protocol.Refused) -> dict[str, Any]:
    if isinstance(result, protocol.Accepted):
        return {'id': result.job_id, 'duplicate': result.duplicate}
    failure = Trouble(result.code, result.detail, retry_after_s=result.retry_after_s)
    return {'id': order.job_id, 'error': shape(failure)}


async def _results(room: Room, batch_id: str, wait: bool) -> AsyncGenerator[bytes, None]:
    if wait:
        async for job, lines in room.broker.batch_results(batch_id):
            yield _line(job, lines)
        return
    async for job in room.broker.find_all(protocol.FindJobs(parent=batch_id, states=tuple(FINAL))):
        yield _line(job, (await room.broker.read_all(job.job_id)).lines)


def _line(job: Job, lines: tuple[bytes, ...]) -> bytes:
    part = protocol.Lines(
        job_id=job.job_id, epoch=job.epoch, index=0, lines=lines, total=len(lines), ended=job.state in FINAL
    )
    return msgspec.json.encode({'job': told.job(job), 'result': told.result(job, part, with_lines=False)}) + b'\n'
