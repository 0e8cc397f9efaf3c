"""Dead jobs: find, replay and delete them; and the recent failures of all jobs, with their stack traces."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from app.api.own import told
from app.api.own.jobs import JobPath, known_model, page
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.told import Problem
from app.api.own.wanted import Filter, ReplayRequest
from broker import facts
from broker.job import State

SCAN = 2_000  # facts at a time
SCANS = 10  # so many times in one call


class Replayed(BaseModel):
    """So many jobs are done again."""

    replayed: int


class Purged(BaseModel):
    """So many jobs are gone."""

    purged: int


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/dead``, and ``/api/errors``."""
    made = router('Dead jobs and errors')

    @made.get('/api/dead', response_model=told.Jobs, summary='Dead jobs', responses=documented())
    async def find(asked: Annotated[Filter, Query()]) -> dict[str, Any]:
        """Newest first. They stay until they are deleted here or their time is over."""
        return await page(room, asked.query(known_model(room, asked), (State.DEAD,)))

    @made.post(
        '/api/dead/replay',
        response_model=Replayed,
        summary='Do them again',
        responses=documented(400, 415, 429, 507),
    )
    async def replay(asked: Annotated[ReplayRequest, Body()]) -> dict[str, Any]:
        """All that match, each once however often this is called."""
        return {'replayed': await room.broker.replay_all(model=asked.model, user=asked.user, parent=asked.batch)}

    @made.delete('/api/dead', response_model=Purged, summary='Delete dead jobs', responses=documented(507))
    async def purge(
        before: Annotated[float, Query(gt=0, le=1e11, allow_inf_nan=False, description='Ended before; unix seconds.')],
    ) -> dict[str, Any]:
        """With their questions and answers, for good."""
        return {'purged': await room.broker.purge(before=before)}

    @made.delete('/api/dead/{id}', response_model=Purged, summary='Delete a dead job', responses=documented(404, 507))
    async def purge_one(id: JobPath) -> dict[str, Any]:
        """With its question and answer, for good; 0 when it is not dead."""
        await room.broker.get(id)
        return {'purged': await room.broker.purge(id)}

    @made.get('/api/errors', response_model=told.Problems, summary='What failed lately', responses=documented())
    async def errors(
        before: Annotated[int, Query(ge=0, le=2**53, description='`next_before` of the page before.')] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Every failed attempt, newest first, with the worker's stack trace; also of jobs that went well in the end."""
        return await _errors(room, before, limit)

    return made


async def _errors(room: Room, before: int, limit: int) -> dict[str, Any]:
    end = before or (await room.broker.ping()).seq + 1
    found: list[Problem] = []
    for _ in range(SCANS):
        begin = max(1, end - SCAN)
        part = (await room.broker.facts_after(begin - 1, end - begin)).facts
        failed = [problem for fact in part if fact.seq < end and (problem := _problem(fact))]
        found += reversed(failed)
        end = begin
        if len(found) >= limit or end <= 1 or not part:
            break
    if len(found) > limit:
        del found[limit:]
        end = found[-1].seq
    over = end <= 1 or (not part and not found)
    return {'errors': found, 'next_before': None if over else end}


def _problem(fact: facts.AnyFact) -> Problem | None:
    if isinstance(fact, facts.JobRequeued) and fact.reason != 'handed_back':
        outcome: Any = 'retry' if fact.reason == 'retry' else 'worker_lost'
    elif isinstance(fact, facts.JobDied):
        outcome = 'dead'
    else:
        return None
    fields = {name: getattr(fact, name) for name in ('seq', 'at', 'job_id', 'code', 'detail', 'trace')}
    return Problem(outcome=outcome, **fields)
