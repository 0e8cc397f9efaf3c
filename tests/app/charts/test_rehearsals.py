"""A replay costs the desk nothing: what takes long of it is done beside its event loop."""

import asyncio
import threading

import pytest

from analytics.queries import Run
from app.charts import rehearsals, residency
from broker import rehearsal
from broker.errors import BrokerUnreachable

RUN = Run(
    ready_at=1.0, waited_s=0.0, ran_s=2.0, load_s=0.0, model='m', runner='r', worker='w', user='u', priority=5
)  # fmt: skip


class Ledger:
    """Three runs, and room for one less."""

    async def runs(self, *, since, until, limit):
        assert limit == rehearsals.MOST_JOBS + 1
        return [RUN] * limit


@pytest.fixture
def where(monkeypatch):
    """In which threads the jobs were made ready."""
    seen, real = [], rehearsal.Recorded

    def recorded(**fields):
        seen.append(threading.current_thread())
        return real(**fields)

    monkeypatch.setattr(rehearsal, 'Recorded', recorded)
    monkeypatch.setattr(rehearsals, 'MOST_JOBS', 2)
    return seen


def runs(*told, worker='w'):
    """One after the other, each as its model, with ! where it began with a load."""
    return [
        rehearsal.Recorded(
            ready_at=float(n), waited_s=0.0, ran_s=0.9, load_s=0.6 if name.endswith('!') else 0.0,
            model=name.strip('!'), runner='', worker=worker, user='u', priority=5,
        )
        for n, name in enumerate(told)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('told', 'resident'),
    [
        ([], 1),
        (['a!', 'a', 'a'], 1),  # nothing speaks for more
        (['a!', 'b!', 'a!', 'b!', 'b', 'a!'], 1),
        (['a!', 'b!', 'a', 'b', 'a'], 2),
        (['a!', 'b!', 'c!', 'a!', 'b!', 'a', 'c!'], 2),
        (['a', 'b', 'c', 'a', 'b', 'c'], 3),
        (['a!', 'b!', 'a!', 'b', 'a!', 'b!', 'a!'], 1),  # one failed before it could tell of its load
        (['a!', 'b!', 'a', 'b!', 'a', 'b', 'a'], 2),  # once the engine had let go of one in an idle time
    ],
)
def test_the_record_shows_how_many_models_stayed_in_memory(told, resident):
    assert residency.seen(runs(*told)) == resident


def test_what_runs_on_another_worker_takes_no_room_of_this_one():
    assert residency.seen([*runs('a!', 'a', 'a', 'a!'), *runs('b!', 'b', 'b', worker='v')]) == 1


async def test_the_jobs_are_made_ready_beside_the_pages_and_played_elsewhere(where):
    shares = []
    found = await rehearsals.compare(
        Ledger(), None, since=0.0, until=9.0, policies=('fifo',), slots={'w': 2, 'v': 3}, progress=shares.append
    )
    assert (found.resident, found.strangers) == (1, ['v'])
    assert (found.jobs, found.cut, [each.policy for each in found.outcomes]) == (2, True, ['fifo'])
    assert found.recorded is not None and shares[-1] == 1.0
    assert len(where) == 2 and threading.main_thread() not in where


@pytest.mark.parametrize(
    'program', ['raise SystemExit(3)', 'print("no news", flush=True)', 'import sys; sys.stdin.close()']
)
async def test_a_process_that_breaks_off_is_one_sentence(monkeypatch, program):
    real = asyncio.create_subprocess_exec

    async def instead(*command, **options):
        return await real(command[0], '-c', program, **options)

    monkeypatch.setattr(asyncio, 'create_subprocess_exec', instead)
    monkeypatch.setattr(rehearsals, 'MOST_JOBS', 20_000)  # more than a pipe takes at once
    with pytest.raises(rehearsals.RehearsalFailed, match='the log of the desk says why'):
        await rehearsals.compare(Ledger(), None, since=0.0, until=9.0)


async def test_a_queue_that_does_not_answer_is_one_sentence():
    class Away:
        async def settings(self):
            raise BrokerUnreachable

    with pytest.raises(rehearsals.RehearsalFailed, match='by which rules it goes'):
        await rehearsals.compare(Ledger(), Away(), since=0.0, until=9.0)
