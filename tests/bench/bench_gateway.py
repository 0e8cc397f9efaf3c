"""What the desk costs a program: the same calls through it and straight to the stand-in for Ollama.

``python -m tests.bench.bench_gateway [streams] [rounds]`` starts both, and prints the throughput of so many streams at
once as a ratio, and how much later the first token of a lone stream comes. Each round goes both ways, in turns.
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
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
READY = 'Corral is ready: '
CHARS_PER_S = 200  # of each stream; some 45 chunks a second
TEXT = 'The quick brown fox jumps over the lazy dog. ' * 20
PATHS = ('/api/chat', '/v1/chat/completions')
LONE_CALLS = 60


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
        httpx.post(f'{direct}/control/models', json={'paced:latest': paced, 'quick:latest': {'text': 'Hello.'}})
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


if __name__ == '__main__':
    asyncio.run(measure(*(int(number) for number in (sys.argv[1:] + ['32', '3'][len(sys.argv) - 1 :]))))
