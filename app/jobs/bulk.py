"""The same deed for many jobs: cancel, do again, move, delete. Some at a time; refusals are counted, not raised."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from broker import errors
from broker.client import BrokerClient, replay_id
from broker.job import FINAL, State

TOGETHER = 50  # wishes under way at once
HOPELESS = ('queue_full', 'disk_full')  # what is refused so is refused to all that follow
ALIVE = frozenset(State) - FINAL
WAITS = frozenset({State.WAITING, State.BLOCKED, State.DELAYED})
# In which states a job can be meant by a deed.
FOR = {'cancel': ALIVE, 'replay': frozenset({State.DEAD}), 'move': WAITS, 'purge': frozenset({State.DEAD})}
Wish = Callable[[str], Awaitable[object]]


@dataclass
class Outcome:
    """So many were done; so many refused, by the code of the refusal; ``trouble`` is the first that went wrong."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    trouble: errors.BrokerError | None = None
    given_up: bool = False  # what was left stays as it is


def deed(broker: BrokerClient, name: str, priority: int = 5) -> Wish:
    """What ``name`` does with one job."""
    match name:
        case 'cancel':
            return broker.cancel
        case 'replay':
            return lambda job_id: broker.replay(job_id, replay_id(job_id))
        case 'move':
            return lambda job_id: broker.set_priority(job_id, priority)
        case 'purge':
            return broker.purge
    raise ValueError(name)


async def each(wish: Wish, ids: Iterable[str] | AsyncIterable[str]) -> Outcome:
    """Ask this for each job. A refusal stops no other; a queue that is full or silent is not asked further."""
    outcome, left, turn = Outcome(), _stream(ids), asyncio.Lock()

    async def ask_on() -> None:
        while not outcome.given_up:
            async with turn:
                job_id = await anext(left, '')
            if not job_id:
                return
            try:
                await wish(job_id)
                outcome.done += 1
            except errors.BrokerError as error:
                _note(outcome, error)

    await asyncio.gather(*(ask_on() for _ in range(TOGETHER)))
    return outcome


def _note(outcome: Outcome, error: errors.BrokerError) -> None:
    outcome.trouble = outcome.trouble or error
    if isinstance(error, errors.Refused):
        outcome.refused[error.code] += 1
    if not isinstance(error, errors.Refused) or error.code in HOPELESS:
        outcome.given_up = True


async def _stream(ids: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(ids, AsyncIterable):
        async for job_id in ids:
            yield job_id
    else:
        for job_id in ids:
            yield job_id
