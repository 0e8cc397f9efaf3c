"""The same deed for many jobs: cancel, do again, move, delete."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field

from broker import errors
from broker.client import BrokerClient, replay_id
from broker.job import FINAL, State

AT_ONCE = 50
ALIVE = frozenset(State) - FINAL
WAITS = frozenset({State.WAITING, State.BLOCKED, State.DELAYED})
# In which states a job can be meant by a deed.
FOR = {'cancel': ALIVE, 'replay': frozenset({State.DEAD}), 'move': WAITS, 'purge': frozenset({State.DEAD})}


@dataclass
class Outcome:
    """So many were done, and so many refused, by the code of the refusal."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    error: errors.BrokerError | None = None  # the queue did not answer, so it was given up


def deed(broker: BrokerClient, name: str, priority: int = 5) -> Callable[[str], Awaitable[object]]:
    """What ``name`` does with one job."""
    deeds: dict[str, Callable[[str], Awaitable[object]]] = {
        'cancel': broker.cancel,
        'replay': lambda job_id: broker.replay(job_id, replay_id(job_id)),
        'move': lambda job_id: broker.set_priority(job_id, priority),
        'purge': broker.purge,
    }
    return deeds[name]


async def each(jobs: AsyncIterable[str], do: Callable[[str], Awaitable[object]]) -> Outcome:
    """Do it with each of them, some at the same time; a refusal stops no other, a silent queue stops all."""
    outcome = Outcome()
    some: list[str] = []
    async for job_id in jobs:
        some.append(job_id)
        if len(some) == AT_ONCE:
            await _some(some, do, outcome)
            some = []
            if outcome.error is not None:
                return outcome
    await _some(some, do, outcome)
    return outcome


async def _some(jobs: list[str], do: Callable[[str], Awaitable[object]], outcome: Outcome) -> None:
    for result in await asyncio.gather(*map(do, jobs), return_exceptions=True):
        match result:
            case errors.Refused():
                outcome.refused[result.code] += 1
            case errors.BrokerError():
                outcome.error = result
            case BaseException():
                raise result
            case _:
                outcome.done += 1
