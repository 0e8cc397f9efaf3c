"""What workers do with their models: load, unload, pull, remove; and how far that is."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import StreamingResponse

from app import errand_watch
from app.api import presence
from app.api.own import told
from app.api.own.fleet import WorkerPath
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.trouble import Trouble
from broker.client import new_job_id
from broker.errand import Errand, Order

ErrandPath = Annotated[str, Path(description='The id of the errand.', max_length=200)]


class ErrandRequest(BaseModel):
    """What a worker shall do with a model of its engine."""

    model_config = ConfigDict(extra='forbid', json_schema_extra={'examples': [{'action': 'pull', 'model': 'qwen3:8b'}]})

    action: Literal['load', 'unload', 'pull', 'remove']
    model: str = Field(min_length=1, max_length=300)
    keep_s: float = Field(
        default=0.0, ge=-1, le=31_536_000, description='Of a load: how long it stays unused; 0 as usual, -1 for ever.'
    )
    wait: bool = Field(default=False, description='Answer when it has ended.')
    stream: bool = Field(default=False, description='Answer with a line of JSON for each news, the last one the end.')


class Errands(BaseModel):
    """Errands, oldest first."""

    errands: list[told.Errand]  # type: ignore[valid-type]


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/workers/{name}/models`` and ``/api/errands``."""
    made = router('Workers, pauses, models')

    @made.post(
        '/api/workers/{name}/models',
        status_code=202,
        response_model=told.Errand,
        summary='Load, unload, pull or remove a model',
        responses=documented(400, 404, 409, 415),
    )
    async def begin(request: Request, name: WorkerPath, asked: Annotated[ErrandRequest, Body()]) -> Any:
        """The errand, at once: the same one while the same goes on. `GET /api/errands/{id}` tells how far it is.

        It goes on whether its caller stays or not, also with `wait` or `stream`; `DELETE /api/errands/{id}` stops it.
        """
        order = Order(errand_id=new_job_id(), action=asked.action, model=asked.model, keep_s=asked.keep_s)
        found = await room.broker.run_errand(name, order)
        if asked.stream:
            return StreamingResponse(_lines(room, found), media_type='application/x-ndjson')
        if asked.wait:
            found = await presence.while_there(request, _end(room, found))
        return msgspec.structs.asdict(found)

    @made.get('/api/errands', response_model=Errands, summary='What workers do with models', responses=documented())
    async def errands() -> dict[str, Any]:
        """Those that go on, and those that ended within the hour. They are not kept over a restart of the broker."""
        return {'errands': [msgspec.structs.asdict(each) for each in (await room.broker.staff()).errands]}

    @made.get('/api/errands/{errand_id}', response_model=told.Errand, summary='One errand', responses=documented(404))
    async def one(errand_id: ErrandPath) -> dict[str, Any]:
        """How far it is, or how it ended."""
        return await _one(room, errand_id)

    @made.delete(
        '/api/errands/{errand_id}', response_model=told.Errand, summary='Stop an errand', responses=documented(404)
    )
    async def stop(errand_id: ErrandPath) -> dict[str, Any]:
        """What of a pull has come stays, and the next pull goes on from there."""
        await room.broker.cancel_errand(errand_id)
        return await _one(room, errand_id)

    return made


async def _one(room: Room, errand_id: str) -> dict[str, Any]:
    for each in (await room.broker.staff()).errands:
        if each.errand_id == errand_id:
            return msgspec.structs.asdict(each)
    raise Trouble('not_found', 'there is no such errand; they are kept for an hour')


async def _end(room: Room, found: Errand) -> Errand:
    async for each in errand_watch.news(room.board, found):
        found = each
    return found


async def _lines(room: Room, found: Errand) -> AsyncIterator[bytes]:
    async for each in errand_watch.news(room.board, found):
        yield msgspec.json.encode(msgspec.structs.asdict(each)) + b'\n'
