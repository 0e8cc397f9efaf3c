"""What the desk costs a program: the same calls through it and straight to the stand-in for Ollama.

``python -m tests.bench.bench_gateway [streams] [rounds]`` starts both, and prints the throughput of so many streams at
once as a ratio, and how much later the first token of a lone stream comes. Each round goes both ways, in turns. Then it
prints what streams cost that wait, and how a very long answer reaches many who follow it while others ask.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
READY = 'Corral is ready: '
CHARS_PER_S = 200  # of each stream; some 45 chunks a second
TEXT = 'The quick brown fox jumps over the lazy dog. ' * 20
PATHS = ('/api/chat', '/v1/chat/completions')
LONE_CALLS = 60
WAITING = 200
READERS, TOKENS = 64, 100_000


@contextlib.contextmanager
def both(streams: int) -> Iterator[tuple[str, str]]:
    """The addresses of the stand-in and of the desk in front of it."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        (Path(folder) / 'corral.toml').touch()
        pipe = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True, 'cwd': ROOT}
        standin = subprocess.Popen([sys.executable, '-m', 'tests.standin', '--port', '0'], **pipe)
        stack.callback(lambda: (standin.stdin.close(), standin.wait()))
        direct = json.loads(standin.stdout.readline())['url']
        paced = {'text': TEXT, 'chars_per_s': CHARS_PER_S}
        models = {'paced:latest': paced, 'quick:latest': {'text': 'Hello.'}, 'flood:latest': {'text': 'word ' * TOKENS}}
        httpx.post(f'{direct}/control/models', json=models)
        command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--port', '0', '--engine', 'ollama']
        command += ['--ollama-url', direct, '--workers', '1', '--slots', str(streams), '--data-dir', f'{folder}/data']
        environment = os.environ | {'CORRAL_NO_SETUP': '1', 'CORRAL_CONFIG': f'{folder}/corral.toml'}
        desk = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        stack.callback(lambda: (desk.terminate(), desk.wait()))
        line = next(line for line in desk.stdout if line.startswith(READY))
        yield direct, line.removeprefix(READY).strip()


def body(model: str) -> dict[str, object]:
    """A request that both APIs take."""
    return {'model': model, 'messages': [{'role': 'user', 'content': 'Hello?'}], 'stream': True}


async def first_and_last(client: httpx.AsyncClient, url: str, model: str) -> tuple[float, float]:
    """Seconds until the first bytes of an answer and until its end."""
    began, first = time.perf_counter(), 0.0
    async with client.stream('POST', url, json=body(model)) as answer:
        answer.raise_for_status()
        async for _ in answer.aiter_raw():
            first = first or time.perf_counter() - began
    return first, time.perf_counter() - began


async def many(url: str, streams: int) -> float:
    """Seconds until so many streams, begun together, have all ended."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        began = time.perf_counter()
        await asyncio.gather(*(first_and_last(client, url, 'paced') for _ in range(streams)))
        return time.perf_counter() - began


async def lone(url: str, calls: int) -> list[float]:
    """Milliseconds to the first token of one call after the other, the first three not counted."""
    async with httpx.AsyncClient(timeout=30) as client:
        took = [(await first_and_last(client, url, 'quick'))[0] * 1000 for _ in range(calls + 3)]
    return sorted(took[3:])


def memory_mb() -> float:
    """What all processes of the desk have in memory, without the stand-in."""
    ours = [each for each in psutil.Process().children(recursive=True) if 'tests.standin' not in each.cmdline()]
    return sum(each.memory_info().rss for each in ours) / 1e6


@contextlib.asynccontextmanager
async def paused(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Nothing starts meanwhile."""
    (await client.put('/api/pauses', json={'scope': 'all'})).raise_for_status()
    yield
    (await client.delete('/api/pauses', params={'scope': 'all'})).raise_for_status()


async def waiting(desk: str) -> None:
    """The memory of streams that wait, each long enough to have had a sign of life."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=desk, timeout=120, limits=limits) as client:
        async with paused(client):
            before = memory_mb()
            calls = [first_and_last(client, PATHS[number % 2], 'quick') for number in range(WAITING)]
            tasks = [asyncio.create_task(call) for call in calls]
            await asyncio.sleep(12)
            assert (await client.get('/api/status')).json()['pending_tasks'] == WAITING
            after = memory_mb()
        await asyncio.gather(*tasks)
    print(f'{WAITING} streams that wait: {after - before:.0f} MB more in all processes (bound 100 MB)')


async def followed(desk: str) -> None:
    """Many who follow one answer that comes as fast as it can, and somebody else who asks meanwhile."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=desk, timeout=120, limits=limits) as client:
        async with paused(client):
            job = (await client.post('/api/jobs', json={'model': 'flood', 'prompt': 'x'})).json()
            readers = [asyncio.create_task(last_event(desk, job['id'])) for _ in range(READERS)]
            before, others, most = memory_mb(), [], 0.0
            await asyncio.sleep(1)
        began = time.perf_counter()
        while not all(reader.done() for reader in readers):
            asked_at = time.perf_counter()
            await client.get(f'/api/jobs/{job["id"]}')
            others.append(time.perf_counter() - asked_at)
            most = max(most, memory_mb())
            await asyncio.sleep(0.05)
        took = time.perf_counter() - began
        ends = [json.loads(reader.result()) for reader in readers]
    whole = sum(end['state'] == 'completed' and end['lines'] >= TOKENS for end in ends)
    print(
        f'{READERS} who follow {ends[0]["lines"]} lines: {whole} have them all after {took:.1f} s; others wait', end=' '
    )
    print(f'{statistics.median(others) * 1000:.0f} ms, {max(others) * 1000:.0f} at most; {most - before:.0f} MB more')


async def last_event(desk: str, job_id: str) -> bytes:
    """The data of the last event of a job. It reads without httpx, which would be busier than the desk."""
    place = urlsplit(desk)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
    writer.write(f'GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n'.encode())
    tail = b''
    while b'-end\nevent: end\n' not in tail and (data := await reader.read(1 << 20)):
        tail = (tail + data)[-2000:]
    writer.close()
    return tail.rpartition(b'data: ')[2].partition(b'\n')[0]


async def measure(streams: int, rounds: int) -> None:
    """Measure, and print."""
    with both(streams) as (direct, desk):
        await many(direct + PATHS[0], 2)
        print(f'{streams} streams of {len(TEXT)} characters at {CHARS_PER_S}/s, {rounds} rounds:')
        for path in PATHS:
            pairs = [(await many(direct + PATHS[0], streams), await many(desk + path, streams)) for _ in range(rounds)]
            ratio = statistics.median(straight / through for straight, through in pairs)
            seconds = ', '.join(f'{straight:.2f} → {through:.2f} s' for straight, through in pairs)
            print(f'  {path:22} {ratio:.1%} of the throughput   ({seconds})')
        straight = await lone(direct + PATHS[0], LONE_CALLS)
        print(f'first token of a lone stream, {LONE_CALLS} calls; straight p50 {statistics.median(straight):.1f} ms:')
        for path in PATHS:
            through = await lone(desk + path, LONE_CALLS)
            added = statistics.median(through) - statistics.median(straight)
            p95 = through[round(0.95 * len(through)) - 1] - straight[round(0.95 * len(straight)) - 1]
            print(f'  {path:22} p50 +{added:.1f} ms   p95 +{p95:.1f} ms')
        await waiting(desk)
        await followed(desk)


if __name__ == '__main__':
    asyncio.run(measure(*(int(number) for number in (sys.argv[1:] + ['32', '3'][len(sys.argv) - 1 :]))))
