"""One running product for all tests of the doors: the demo engine and the stand-in Ollama behind one port.

``url`` is the desk, ``upstream`` the stand-in: ``upstream.served()`` tells what it was asked and how that ended.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Corral, clean_environment, wait_for

MODELS: dict[str, dict[str, Any]] = {
    'caller': {
        'text': '',
        'thinking': 'Let me see. ',
        'tool_calls': [{'function': {'name': 'weather', 'arguments': {'place': 'Köln', 'n': 1.5}}}],
    },
    'slow': {'chars_per_s': 20},
    'brisk': {'chars_per_s': 150},
    'silent': {'first_token_s': 60},
    'done_text': {'text': 'First. ', 'done_text': 'the very last'},
}

REPLIES: dict[str, dict[str, Any]] = {
    path: {'chunks': ['\x00\xff', 'raw'], 'status': status, 'content_type': 'application/octet-stream'}
    for path, status in (('/v1/rerank', 201), ('/api/fresh', 418))
} | {'/api/embeddings': {'chunks': ['{"embedding":', '[3.0,4.0]}']}}


class Upstream:
    """The stand-in, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url

    def add(self, **models: dict[str, Any]) -> None:
        """More models, by name without the tag, with what they do."""
        named = {f'{name.replace("_", "-")}:latest': script for name, script in models.items()}
        httpx.post(f'{self.url}/control/models', json=named).raise_for_status()

    def served(self, mark: str) -> list[dict[str, Any]]:
        """The requests whose body has ``mark`` in it, oldest first."""
        return [each for each in httpx.get(f'{self.url}/control/state').json()['served'] if mark in each['body']]

    def wait(self, mark: str, condition: Callable[[dict[str, Any]], object], timeout_s: float = 40) -> dict[str, Any]:
        """Wait for a request with ``mark`` of which ``condition`` holds."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.served(mark) if condition(each)), None)

        return wait_for(found, timeout_s, f'the stand-in saw {mark}')  # type: ignore[return-value]


@pytest.fixture(scope='session')
def upstream() -> Iterator[Upstream]:
    process = subprocess.Popen(
        [sys.executable, '-m', 'tests.standin', '--port', '0', '--faults'],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout and process.stdin
    upstream = Upstream(json.loads(process.stdout.readline())['url'])
    upstream.add(**MODELS)
    httpx.post(f'{upstream.url}/control/replies', json=REPLIES).raise_for_status()
    yield upstream
    process.stdin.close()
    process.wait(40)
    process.stdout.close()


@contextlib.contextmanager
def serving(upstream: Upstream, folder: Path, **settings: str) -> Iterator[str]:
    """The product in front of the stand-in, with more ``settings`` (``worker__idle_timeout_s='1'``); its address."""
    (folder / 'corral.toml').touch()
    command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--data-dir', str(folder / 'data'), '--port', '0']
    command += ['--engine', 'auto', '--ollama-url', upstream.url, '--workers', '1', '--slots', '8']
    settings = {
        'broker__retry_base_s': '0.05',
        'worker__breaker_failures': '0',
        'worker__demo_chars_per_s': '20000',
    } | settings
    named = {f'CORRAL_{name.upper()}': value for name, value in settings.items()}
    stderr = folder / 'stderr'
    with stderr.open('w') as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=clean_environment() | named,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    desk = Corral(process, folder / 'data', stderr)
    try:
        desk.wait_ready()
        wait_for(lambda: 'qwen3:latest' in httpx.get(f'{desk.url}/api/tags').text, 40, 'the models of the stand-in')
        yield desk.url
    finally:
        desk.stop()
        desk._reader.join(5) if desk._reader.is_alive() else None
        assert process.stdout
        process.stdout.close()


@pytest.fixture(scope='session')
def url(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(upstream, tmp_path_factory.mktemp('doors')) as url:
        yield url
