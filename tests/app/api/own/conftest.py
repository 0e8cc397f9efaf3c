"""One running product for all tests of our own API, so that its pauses and batches disturb no other test."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.app.api.conftest import Upstream, serving
from tests.conftest import wait_for

STEADY = 'one two three ' * 60


@pytest.fixture(scope='session')
def desk(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    breaks = {'chars_per_s': 60, 'fault': 'reset', 'after': 5}
    upstream.add(steady={'chars_per_s': 1500, 'text': STEADY}, breaks=breaks)
    settings = {'app__webhook_networks': '127.0.0.0/8', 'app__webhook_retry_base_s': '0.05'}
    with serving(upstream, tmp_path_factory.mktemp('own'), **settings) as url:
        wait_for(lambda: 'breaks' in httpx.get(f'{url}/api/tags').text, 40, 'the model of these tests')
        yield url


@pytest.fixture
def http(desk: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=desk, timeout=30) as client:
        yield client


@pytest.fixture
def ask(http: httpx.Client) -> Callable[..., dict[str, Any]]:
    """Queue a job and wait for its end, or for ``wait`` seconds."""

    def ask(wait: float = 20, **fields: Any) -> dict[str, Any]:
        reply = http.post('/api/jobs', params={'wait': wait}, json={'model': 'qwen3', 'prompt': 'x'} | fields)
        assert reply.status_code in (200, 202), reply.text
        return reply.json()

    return ask


@pytest.fixture
def paused(http: httpx.Client) -> Iterator[None]:
    """Nothing starts during the test."""
    http.put('/api/pauses', json={'scope': 'all'}).raise_for_status()
    yield
    http.delete('/api/pauses', params={'scope': 'all'}).raise_for_status()


def problem(reply: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal, which has our shape."""
    error = reply.json()['error']
    assert set(reply.json()) == {'error'} and not error['message'][0].islower() and error['message'][-1] in '.!?'
    assert 'Traceback' not in reply.text and reply.headers['content-type'] == 'application/json'
    return reply.status_code, error['code']
