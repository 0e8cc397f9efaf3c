"""How many tokens per second go from a worker through the broker to a subscriber, with the token log kept.

``python -m tests.bench.bench_relay [seconds]`` runs the real broker with 64 streams at once, and beside it the least
that a relay with a log must do (ROUTER in, a list per stream, PUB out). Lines travel joined as the worker's batcher
joins them when tokens come this fast, and one by one for comparison. Read the ratio.
"""

import asyncio
import collections
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

import zmq

from broker import client, facts, protocol, sockets
from broker.endpoints import Endpoints
from broker.settings import BrokerSettings
from tests.bench.bench_queue import processes

STREAMS = 64
ME = 'tests.bench.bench_relay'
LINE = b'{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":" word"},"done":0}'
AHEAD = 4_000  # lines that the worker may be ahead of the subscriber: a real one is held up by its engine


def source(address: str, news: str, joined: int) -> None:
    """A worker whose engine never ends: every stream gets ``joined`` lines in turn."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    sockets.tune(socket, high_water=100_000)
    socket.connect(address)
    seen = context.socket(zmq.PULL)
    seen.bind(news)
    ready = protocol.Ready(
        worker='w', session='s', host='bench', pid=os.getpid(), engine='noop', engine_version='1', slots=STREAMS,
        models=(facts.ModelInfo(name='m', engine='noop'),),
    )  # fmt: skip
    socket.send(protocol.encode(ready))
    runs: dict[str, int] = {}
    while len(runs) < STREAMS:
        for message in protocol.to_worker_in(socket.recv()):
            if isinstance(message, protocol.Assign):
                runs[message.job_id] = 0
    lines, sent, done = (LINE,) * joined, 0, int(seen.recv())  # somebody listens
    for number, job_id in enumerate(itertools.cycle(runs)):
        while sent - done > AHEAD:
            done = int(seen.recv())
        socket.send(protocol.encode(protocol.Tokens(job_id=job_id, epoch=1, index=runs[job_id], lines=lines)))
        runs[job_id] += joined
        sent += joined
        if number % 50 == 0:
            while socket.poll(0):
                socket.recv()


def bare_relay(folder: str) -> None:
    """The least: decode, keep, encode, publish."""
    context = zmq.Context()
    workers, out = context.socket(zmq.ROUTER), context.socket(zmq.XPUB)
    out.setsockopt(zmq.XPUB_WELCOME_MSG, protocol.WELCOME)
    out.sndhwm = 100_000
    workers.bind(f'ipc://{folder}/worker')
    out.bind(f'ipc://{folder}/facts')
    log: dict[str, list[bytes]] = collections.defaultdict(list)
    peer, _ = workers.recv_multipart()
    out.recv()  # the subscription: what is sent before it is lost
    for number in range(STREAMS):
        assign = protocol.Assign(job_id=f'{number:032x}', epoch=1, kind='chat', model='m')
        workers.send_multipart([peer, protocol.encode(assign)])
    while True:
        (message,) = protocol.from_worker_in(workers.recv_multipart()[1])
        if isinstance(message, protocol.Tokens):
            kept = log[message.job_id]
            kept += message.lines
            tokens = protocol.TokensOut(job_id=message.job_id, epoch=1, index=message.index, lines=message.lines)
            out.send_multipart([protocol.token_topic(message.job_id), protocol.encode(tokens)])
            if len(kept) > 100_000:
                kept.clear()


def listen(endpoints: Endpoints, news: str, seconds: float) -> float:
    """Lines per second that arrive."""
    context = zmq.Context()
    socket, tell = context.socket(zmq.SUB), context.socket(zmq.PUSH)
    sockets.tune(socket, high_water=100_000)
    socket.setsockopt(zmq.SUBSCRIBE, b't')
    socket.setsockopt(zmq.SUBSCRIBE, protocol.WELCOME)
    socket.setsockopt(zmq.RCVTIMEO, 10_000)
    socket.connect(endpoints.facts)
    tell.connect(news)
    assert socket.recv() == protocol.WELCOME
    tell.send(b'0')
    lines, told, began = 0, 0, 0.0
    while not began or time.perf_counter() < began + seconds:
        for message in protocol.published_in(socket.recv_multipart()[1]):
            assert isinstance(message, protocol.TokensOut)
            began = began or time.perf_counter()
            lines += len(message.lines)
        if lines - told >= AHEAD // 8:
            told = lines
            tell.send(str(lines).encode())
    context.destroy(linger=0)
    return lines / (time.perf_counter() - began)


async def measure(bare: bool, joined: int, seconds: float) -> float:
    """Lines per second through the relay or the broker."""
    with tempfile.TemporaryDirectory() as folder:
        endpoints = Endpoints(**{side: f'ipc://{folder}/{side}' for side in ('client', 'worker', 'facts')})
        news = f'ipc://{folder}/news'
        worker = [ME, 'source', endpoints.worker, news, str(joined)]
        if bare:
            with processes([ME, 'bare', folder], worker):
                return listen(endpoints, news, seconds)
        settings = BrokerSettings(data_dir=Path(folder), endpoints=endpoints, max_answer_bytes=10**12)
        with processes(['broker'], worker, stdin=settings.model_dump_json()):
            async with client.BrokerClient(endpoints) as desk:
                for _ in range(STREAMS):
                    await desk.submit(protocol.Submit(job_id=client.new_job_id(), kind='chat', model='m', body=b'{}'))
            return listen(endpoints, news, seconds)


def main(seconds: float) -> None:
    """Both in turn, joined and one by one."""
    for joined in (20, 1):
        found = {}
        for name in ('bare', 'corral'):
            found[name] = asyncio.run(measure(name == 'bare', joined, seconds))
            print(f'{name:7} {joined:3} lines per message: {found[name]:9.0f} tokens/s')
        print(f'corral / bare: {found["corral"] / found["bare"]:.2f}')


if __name__ == '__main__':
    match sys.argv[1:]:
        case ['source', address, news, joined]:
            source(address, news, int(joined))
        case ['bare', folder]:
            bare_relay(folder)
        case rest:
            main(float(rest[0]) if rest else 5.0)
