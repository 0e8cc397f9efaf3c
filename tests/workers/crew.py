"""A worker at work for a broker that the test plays, and what is said to it."""

import asyncio
import contextlib
from pathlib import Path

from broker import protocol
from tests.workers.benches import body
from tests.workers.fake_broker import JOB
from workers.engines import choice
from workers.settings import WorkerSettings
from workers.worker import Worker

HANG = {'demo': {'chars_per_s': 1e6, 'text': 'one two three', 'hang_after': 3}}
FAST = {'demo': {'chars_per_s': 1e6}}


@contextlib.asynccontextmanager
async def working(broker, **settings):
    """A worker that has signed in. It is drained at the end, unless the test has done so."""
    worker, task = start(broker, **settings)
    try:
        await broker.hear(protocol.Ready)
        yield worker
    finally:
        worker.stop()
        async with asyncio.timeout(40):
            await task


def start(broker, **settings):
    """A worker and the task that runs it."""
    fields = {'worker': 'here:1', 'engine': 'demo', 'slots': 2, 'drain_s': 0.0, 'data_dir': Path('nowhere')}
    made = WorkerSettings(endpoints=broker.endpoints, **(fields | settings))
    worker = Worker(made, choice.make(made))
    return worker, asyncio.create_task(worker.run())


def assign(options=FAST, *, model='demo', job_id=JOB, epoch=1, kind='chat'):
    return protocol.Assign(job_id=job_id, epoch=epoch, kind=kind, model=model, body=body(kind, model, options))


def stop(*, job_id=JOB, epoch=1, stale=False):
    return protocol.Stop(job_id=job_id, epoch=epoch, stale=stale)


def words(count):
    """A text of so many chunks."""
    return 'word' + ' word' * (count - 1)


async def until(condition):
    """Wait for something that happens inside the worker and is told to nobody."""
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_held(broker, count):
    """Ask until the worker shows so many runs."""
    broker.tell(protocol.Identify())
    await broker.until(lambda: len(broker.of(protocol.Ready)[-1].runs) == count)
