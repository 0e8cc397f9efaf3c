"""How fast the queue is: durable no-op jobs from a client through the broker and two worker processes and back.

``python -m tests.bench.bench_queue [jobs]`` runs the real broker and, beside it on the same machine, the least that
any durable queue on these parts must do (a bare ROUTER, a heap, SQLite with FULL and group commit). Read the ratio.
"""

import asyncio
import contextlib
import heapq
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import zmq
import zmq.asyncio

from broker import client, facts, protocol, sockets
from broker.endpoints import Endpoints
from broker.settings import BrokerSettings

SLOTS = 16
WINDOW = 256  # jobs that the client has under way at once


def noop_worker(address: str, name: str) -> None:
    """Answer every assignment with one line and done."""
    socket = zmq.Context().socket(zmq.DEALER)
    sockets.tune(socket)
    socket.connect(address)
    ready = protocol.Ready(
        worker=name,
        session=name,
        host='bench',
        pid=os.getpid(),
        engine='noop',
        engine_version='1',
        slots=SLOTS,
        models=(facts.ModelInfo(name='noop', engine='noop'),),
    )
    socket.send(protocol.encode(ready))
    done = facts.Usage(output_tokens=1)
    while True:
        said: list[protocol.AnyFromWorker] = []
        for message in protocol.to_worker_in(socket.recv()):
            if isinstance(message, protocol.Assign):
                job = {'job_id': message.job_id, 'epoch': message.epoch}
                said.append(protocol.Tokens(**job, index=0, lines=(b'{"done":true}',)))
                said.append(protocol.Finished(**job, lines=1, usage=done))
        for letter in protocol.letters(map(protocol.encode, said)):
            socket.send(letter)


def bare_worker(address: str) -> None:
    """The prototype's worker: a job comes, a result goes."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(address)
    for _ in range(SLOTS):
        socket.send(b'ready')
    while True:
        socket.send_multipart([b'done', socket.recv()])


def bare_broker(folder: str) -> None:
    """The least a durable queue does: heap, table, commit before each acknowledgement, result to the client."""
    db = apsw.Connection(f'{folder}/bare.db')
    db.execute('PRAGMA journal_mode=WAL').fetchall()
    db.execute('PRAGMA synchronous=FULL; CREATE TABLE jobs (id BLOB PRIMARY KEY, body BLOB, state INT)').fetchall()
    context = zmq.Context()
    clients, workers = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
    clients.bind(f'ipc://{folder}/client')
    workers.bind(f'ipc://{folder}/worker')
    poller = zmq.Poller()
    poller.register(clients, zmq.POLLIN)
    poller.register(workers, zmq.POLLIN)
    heap: list[tuple[int, int, bytes]] = []
    free: list[bytes] = []
    owner: dict[bytes, bytes] = {}
    order = 0
    while True:
        poller.poll()
        new, ended = [], []
        with contextlib.suppress(zmq.Again):
            for _ in range(500):
                peer, job = clients.recv_multipart(zmq.NOBLOCK)
                order += 1
                heapq.heappush(heap, (-5, order, job))
                owner[job] = peer
                new.append((job, b'{}', 0))
        with contextlib.suppress(zmq.Again):
            for _ in range(500):
                peer, *rest = workers.recv_multipart(zmq.NOBLOCK)
                free.append(peer)
                ended += rest[1:]
        with db:
            db.executemany('INSERT INTO jobs VALUES (?, ?, ?)', new)
            db.executemany('UPDATE jobs SET state = 2 WHERE id = ?', ((job,) for job in ended))
        for job in ended:
            clients.send_multipart([owner.pop(job), job])
        while free and heap:
            workers.send_multipart([free.pop(), heapq.heappop(heap)[2]])


@contextlib.contextmanager
def processes(*commands: list[str], stdin: str = '') -> Iterator[list[subprocess.Popen[str]]]:
    """Start this module's parts (or others) and end them afterwards."""
    started = []
    try:
        for command in commands:
            started.append(
                subprocess.Popen(
                    [sys.executable, '-m', *command], stdin=subprocess.PIPE, text=True, stdout=subprocess.PIPE
                )
            )
        if stdin:
            started[0].stdin.write(stdin + '\n')
            started[0].stdin.flush()
            assert json.loads(started[0].stdout.readline())['ready']
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


async def measure_corral(jobs: int, window: int) -> list[float]:
    """Seconds from submit to completion of each job, through the real broker; the last element is the whole time."""
    with tempfile.TemporaryDirectory() as folder:
        endpoints = Endpoints(**{side: f'ipc://{folder}/{side}' for side in ('client', 'worker', 'facts')})
        settings = BrokerSettings(data_dir=Path(folder), endpoints=endpoints)
        me = 'tests.bench.bench_queue'
        with processes(
            ['broker'], *([me, 'worker', endpoints.worker, f'w{n}'] for n in (1, 2)), stdin=settings.model_dump_json()
        ):
            async with client.BrokerClient(endpoints) as desk:
                while len((await desk.snapshot()).workers) < 2:
                    pass  # each round asks the broker anew
                return await _drive_corral(desk, jobs, window)


async def _drive_corral(desk: client.BrokerClient, jobs: int, window: int) -> list[float]:
    gate, took, began = asyncio.Semaphore(window), [], {}
    submitting = set()

    async def listen() -> None:
        async for item in desk.feed(0, tokens=False):
            if isinstance(item, protocol.FactOut) and isinstance(item.fact, facts.JobCompleted):
                took.append(time.perf_counter() - began[item.fact.job_id])
                gate.release()
                if len(took) == jobs:
                    return

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.3)
    start = time.perf_counter()
    for _ in range(jobs):
        await gate.acquire()
        job = protocol.Submit(job_id=client.new_job_id(), kind='chat', model='noop', body=b'{}')
        began[job.job_id] = time.perf_counter()
        task = asyncio.create_task(desk.submit(job))
        submitting.add(task)
        task.add_done_callback(submitting.discard)
    await listener
    whole = time.perf_counter() - start
    await asyncio.gather(*submitting)
    return [*took, whole]


async def measure_bare(jobs: int, window: int) -> list[float]:
    """The same through the prototype."""
    with tempfile.TemporaryDirectory() as folder:
        me = 'tests.bench.bench_queue'
        with processes([me, 'bare', folder], *([me, 'bare-worker', f'ipc://{folder}/worker'] for _ in (1, 2))):
            context = zmq.asyncio.Context()
            socket = context.socket(zmq.DEALER)
            socket.connect(f'ipc://{folder}/client')
            await asyncio.sleep(1.0)
            gate, took, began = asyncio.Semaphore(window), [], {}

            async def listen() -> None:
                while len(took) < jobs:
                    job = await socket.recv()
                    took.append(time.perf_counter() - began[job])
                    gate.release()

            listener = asyncio.create_task(listen())
            start = time.perf_counter()
            for _ in range(jobs):
                await gate.acquire()
                job = client.new_job_id().encode()
                began[job] = time.perf_counter()
                await socket.send(job)
            await listener
            context.destroy(linger=0)
            return [*took, time.perf_counter() - start]


def main(jobs: int) -> None:
    """Both in turn, three times, and the ratio of the best."""
    best: dict[str, float] = {}
    for _ in range(3):
        for name, measure in (('bare', measure_bare), ('corral', measure_corral)):
            *took, whole = asyncio.run(measure(jobs, WINDOW))
            best[name] = max(best.get(name, 0.0), jobs / whole)
            print(f'{name:7} {jobs / whole:8.0f} jobs/s   p50 {statistics.median(took) * 1000:6.2f} ms under load')
    print(f'corral / bare: {best["corral"] / best["bare"]:.2f}')
    for name, measure in (('bare', measure_bare), ('corral', measure_corral)):
        *took, _ = asyncio.run(measure(300, 1))
        print(f'{name:7} idle submit → result p50 {statistics.median(took) * 1000:.2f} ms')


if __name__ == '__main__':
    match sys.argv[1:]:
        case ['worker', address, name]:
            noop_worker(address, name)
        case ['bare', folder]:
            bare_broker(folder)
        case ['bare-worker', address]:
            bare_worker(address)
        case rest:
            main(int(rest[0]) if rest else 20_000)
