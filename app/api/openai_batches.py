"""The door for batches of OpenAI's API: files of requests that run when nobody else needs the machines."""

import asyncio
import time

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, caller, openai, openai_files, openai_shapes
from app.api.openai_batch import KIND, OPEN, WINDOWS_S, Batch, Kept
from app.api.openai_batch_run import Run
from app.api.openai_calls import CALLS
from app.api.openai_query import Query
from app.api.openai_shelf import KEPT_S, Shelf
from app.api.trouble import Trouble
from app.api.work import Doors
from broker.client import new_job_id
from broker.job import MIN_PRIORITY

PATH = '/v1/batches'


class Expiry(msgspec.Struct):
    """How long a file stays."""

    seconds: int
    anchor: str = 'created_at'


class Asked(msgspec.Struct):
    """``POST /v1/batches``."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: Expiry | None = None


def router(batches: 'Batches') -> APIRouter:
    """All paths of batches."""
    routes = APIRouter(tags=['OpenAI'])

    @routes.post(PATH, summary='Queue all lines of a file, behind everything else')
    @openai.saying_no
    async def create(request: Request) -> Response:
        asked = openai_shapes.read(await bodies.read(request), Asked)
        user, priority = caller.user_of(request), caller.priority_of(request, MIN_PRIORITY)
        return openai.json(await batches.create(asked, user, priority))

    @routes.get(PATH, summary='The batches, newest first')
    @openai.saying_no
    async def listed(request: Request) -> Response:
        query = Query(request)
        found, more = await batches.page(query.text('after'), query.number('limit', 20, 1, 100))
        return openai.json(openai_files.page(found, more))

    @routes.get(f'{PATH}/{{name}}', summary='How far a batch is')
    @openai.saying_no
    async def one(request: Request) -> Response:
        return openai.json(await batches.get(request.path_params['name']))

    @routes.post(f'{PATH}/{{name}}/cancel', summary='Stop a batch')
    @openai.saying_no
    async def cancel(request: Request) -> Response:
        return openai.json(await batches.cancel(request.path_params['name']))

    return routes


class Batches:
    """All batches, and those at work. ``open`` it once the shelf is open."""

    def __init__(self, doors: Doors, shelf: Shelf) -> None:
        self.windows_s = dict(WINDOWS_S)
        self._doors = doors
        self._shelf = shelf
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Go on with those that are not over."""
        found, more = await self._shelf.page(KIND, Kept, tag=OPEN)
        while more:
            part, more = await self._shelf.page(KIND, Kept, tag=OPEN, after=found[-1].batch.id)
            found += part
        for kept in reversed(found):
            self._start(kept)

    async def close(self) -> None:
        """Leave them as they are."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs, self._tasks = {}, {}

    async def create(self, asked: Asked, user: str, priority: int) -> Batch:
        """A new one. Raises ``Trouble``."""
        if asked.endpoint not in CALLS:
            raise Trouble('bad_request', f'endpoint must be one of {", ".join(CALLS)}.', param='endpoint')
        if asked.completion_window not in self.windows_s:
            raise Trouble('bad_request', 'completion_window must be 24h.', param='completion_window')
        file = await self._shelf.file(asked.input_file_id)
        if file.purpose != openai_files.PURPOSE:
            raise Trouble('bad_request', 'The purpose of the input file must be batch.', param='input_file_id')
        now = time.time()
        batch = Batch(
            id=f'batch_{new_job_id()}',
            endpoint=asked.endpoint,
            input_file_id=file.id,
            completion_window=asked.completion_window,
            created_at=int(now),
            expires_at=int(now) + int(self.windows_s[asked.completion_window]),
            metadata=asked.metadata,
        )
        kept_s = _kept_s(asked.output_expires_after)
        kept = Kept(batch=batch, user=user, priority=priority, output_kept_s=kept_s)
        await self._shelf.keep(KIND, batch.id, kept, tag=OPEN)
        self._start(kept)
        return batch

    async def get(self, name: str) -> Batch:
        """One as it is now. Raises ``Trouble``."""
        kept = await self._find(name)
        return await self._now(kept)

    async def page(self, after: str, limit: int) -> tuple[list[Batch], bool]:
        """Some, newest first, and whether more follow."""
        found, more = await self._shelf.page(KIND, Kept, after=after, limit=limit)
        return [await self._now(kept) for kept in found], more

    async def cancel(self, name: str) -> Batch:
        """Stop one. Raises ``Trouble``, also for one that is over."""
        kept = await self._find(name)
        run = self._runs.get(kept.batch.id)
        if run is None or run.kept.batch.over:
            detail = f"A batch with status '{kept.batch.status}' cannot be cancelled."
            raise Trouble('bad_request', detail)  # a conflict (409) would make clients try again
        await run.cancel()
        return await self._now(kept)

    def _start(self, kept: Kept) -> None:
        run = Run(self._doors, self._shelf, kept)
        name, file = kept.batch.id, kept.batch.input_file_id
        self._runs[name] = run
        self._shelf.in_use.add(file)
        self._tasks[name] = task = asyncio.create_task(run.run(), name=name)

        def ended(_: asyncio.Task[None]) -> None:
            self._runs.pop(name, None)
            self._tasks.pop(name, None)
            if all(other.kept.batch.input_file_id != file for other in self._runs.values()):
                self._shelf.in_use.discard(file)

        task.add_done_callback(ended)

    async def _find(self, name: str) -> Kept:
        kept = await self._shelf.kept(KIND, name, Kept)
        if kept is None:
            raise Trouble('not_found', f"The batch '{name[:100]}' does not exist.", param='batch_id')
        return kept

    async def _now(self, kept: Kept) -> Batch:
        run = self._runs.get(kept.batch.id)
        if run is None:
            return kept.batch
        counts = await run.counts()
        batch = run.kept.batch
        return batch if batch.over else msgspec.structs.replace(batch, request_counts=counts)


def _kept_s(asked: Expiry | None) -> int:
    if asked is None:
        return KEPT_S
    least, most = openai_files.LIFE_S
    if asked.anchor != 'created_at' or not least <= asked.seconds <= most:
        detail = f'output_expires_after must be {least} to {most} seconds after created_at.'
        raise Trouble('bad_request', detail, param='output_expires_after')
    return asked.seconds
