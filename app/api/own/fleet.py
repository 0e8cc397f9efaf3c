"""Workers, pauses and models: what answers, and what is held back."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.own import told
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.wanted import PauseRequest, RetireRequest, Scope
from app.api.trouble import Trouble
from broker import network

WorkerPath = Annotated[str, Path(description='The name of the worker.', max_length=300)]


class Workers(BaseModel):
    """The workers by name."""

    workers: list[told.Worker]  # type: ignore[valid-type]


class Pauses(BaseModel):
    """The pauses in force."""

    pauses: list[told.Pause]  # type: ignore[valid-type]


class Paused(Pauses):
    """The pauses in force, this one among them."""

    note: str = Field(description='What may not have been meant: nothing has this name at the moment; else empty.')


class MachineRequest(BaseModel):
    """A machine of the network whose workers shall join."""

    model_config = ConfigDict(extra='forbid', json_schema_extra={'examples': [{'name': 'gpu-box'}]})

    name: str = Field(min_length=1, max_length=60)


class NewMachine(BaseModel):
    """What a worker of that machine needs to join; nobody can show the key again."""

    name: str
    place: str = Field(description='For `worker --join`.')
    key: str = Field(description='For `worker --key`, or `CORRAL_JOIN_KEY`.')


class Machines(BaseModel):
    """The machines by name."""

    machines: list[told.Machine]  # type: ignore[valid-type]


class Models(BaseModel):
    """The models by name."""

    models: list[told.Model]  # type: ignore[valid-type]


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/workers``, ``/api/pauses`` and ``/api/models``."""
    made = router('Workers, pauses, models')
    _workers(made, room)
    _pauses(made, room)
    _machines(made, room)

    @made.get('/api/models', response_model=Models, summary='The models that some machine has', responses=documented())
    async def models() -> dict[str, Any]:
        """`slots` is how many jobs could run it at once; `resident` that some machine has it in memory."""
        return {'models': [msgspec.to_builtins(model) for model in room.board.models()]}

    return made


def _workers(made: APIRouter, room: Room) -> None:
    @made.get('/api/workers', response_model=Workers, summary='Workers', responses=documented())
    async def workers() -> dict[str, Any]:
        """What they have, what they do, and what is wrong with them."""
        found = sorted((await room.broker.staff()).workers, key=lambda worker: worker.worker)
        return {'workers': [msgspec.to_builtins(worker) for worker in found]}

    @made.get('/api/workers/{name}', response_model=told.Worker, summary='One worker', responses=documented(404))
    async def worker(name: WorkerPath) -> dict[str, Any]:
        """404 while it is away."""
        return await _worker(room, name)

    async def pause(name: WorkerPath) -> dict[str, Any]:
        """Nothing new starts on it; what runs goes on."""
        found = await _worker(room, name)
        await room.broker.pause('worker', name)
        return found

    async def resume(name: WorkerPath) -> dict[str, Any]:
        """It gets jobs again."""
        found = await _worker(room, name)
        await room.broker.resume('worker', name)
        return found

    async def drain(name: WorkerPath) -> dict[str, Any]:
        """Paused; the fact `Drained` tells when its last run has ended."""
        found = await _worker(room, name)
        await room.broker.drain('worker', name)
        return found

    for action in (pause, resume, drain):
        made.add_api_route(
            f'/api/workers/{{name}}/{action.__name__}',
            action,
            methods=['POST'],
            response_model=told.Worker,
            summary=f'{action.__name__.capitalize()} a worker',
            responses=documented(404),
        )

    @made.post(
        '/api/workers/{name}/retire',
        status_code=202,
        response_model=told.Worker,
        summary='Let it go',
        responses=documented(400, 404, 415),
    )
    async def retire(name: WorkerPath, asked: Annotated[RetireRequest | None, Body()] = None) -> dict[str, Any]:
        """It takes nothing new and ends when its runs have; no attempt is charged."""
        found = await _worker(room, name)
        await room.broker.retire(name, grace_s=(asked or RetireRequest()).grace_s)
        return found


def _pauses(made: APIRouter, room: Room) -> None:
    @made.get('/api/pauses', response_model=Pauses, summary='Pauses', responses=documented())
    async def pauses() -> dict[str, Any]:
        """What does not start at the moment."""
        return await _paused(room)

    @made.put('/api/pauses', response_model=Paused, summary='Pause', responses=documented(400, 415))
    async def pause(asked: Annotated[PauseRequest, Body()]) -> dict[str, Any]:
        """All, or a model, a priority, a user or a worker by name. Asked for twice it is there once.

        What is not there at the moment is paused, too, for when it comes; `note` says so.
        """
        name = room.board.name_of(asked.name) or asked.name if asked.scope == 'model' else asked.name
        note = await (room.broker.drain if asked.drain else room.broker.pause)(asked.scope, name)
        return await _paused(room) | {'note': note}

    @made.delete('/api/pauses', response_model=Pauses, summary='Resume', responses=documented())
    async def resume(scope: Scope, name: Annotated[str, Query(max_length=300)] = '') -> dict[str, Any]:
        """What was paused starts again."""
        named = room.board.name_of(name) or name if scope == 'model' else name
        await room.broker.resume(scope, named)
        return await _paused(room)


def _machines(made: APIRouter, room: Room) -> None:
    @made.get('/api/machines', response_model=Machines, summary='Machines that may join', responses=documented())
    async def machines() -> dict[str, Any]:
        """Those of the network whose workers may join, besides this one."""
        return {'machines': [msgspec.structs.asdict(each) for each in await room.broker.machines()]}

    @made.post(
        '/api/machines',
        status_code=201,
        response_model=NewMachine,
        summary='Let a machine join',
        responses=documented(400, 409, 415),
    )
    async def add(asked: Annotated[MachineRequest, Body()]) -> dict[str, Any]:
        """Its key is told this once. 409 where the name is taken, or where Corral was started without `--listen`."""
        found = await room.broker.add_machine(asked.name)
        return {'name': asked.name, 'place': network.reached(found.listen), 'key': found.token}

    @made.delete(
        '/api/machines/{name}', status_code=204, summary='Let a machine join no more', responses=documented(404, 409)
    )
    async def remove(name: Annotated[str, Path(max_length=60)]) -> None:
        """Its workers that are connected end at once, and their jobs go to others."""
        await room.broker.remove_machine(name)


async def _worker(room: Room, name: str) -> dict[str, Any]:
    for worker in (await room.broker.staff()).workers:
        if worker.worker == name:
            return dict(msgspec.to_builtins(worker))
    raise Trouble('not_found', 'there is no such worker')


async def _paused(room: Room) -> dict[str, Any]:
    return {'pauses': [msgspec.to_builtins(pause) for pause in (await room.broker.staff()).pauses]}
