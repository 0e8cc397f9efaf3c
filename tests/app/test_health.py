from datetime import datetime

import fastapi
import httpx
import pytest

from app import health
from app.board import Board
from tests.app import news as n
from tests.app.news import News


async def ask(state: health.Health) -> tuple[int, dict[str, str]]:
    api = fastapi.FastAPI()
    api.include_router(health.router(state))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url='http://desk') as client:
        answer = await client.get('/health')
    assert answer.headers['cache-control'] == 'no-store'
    return answer.status_code, answer.json()


async def test_it_says_what_is_missing_until_a_chat_would_work(board: Board):
    state, news = health.Health(board, '1.2.3'), News()
    status, answer = await ask(state)
    assert (status, answer['status'], answer['waiting_for']) == (503, 'starting', 'broker')
    board.apply(news.pulse())
    assert (await ask(state))[1]['problem'] == 'No worker is connected.'
    board.apply(news.joined(models=()))
    assert (await ask(state))[1]['problem'] == 'No worker has a model.'
    board.apply(news.changed())
    status, answer = await ask(state)
    assert status == 200 and answer.keys() == {'status', 'version', 'timestamp', 'time'}
    assert (answer['status'], answer['version']) == ('ok', '1.2.3')
    at = datetime.fromisoformat(answer['time']).timestamp()
    assert at == pytest.approx(int(answer['timestamp']) / 1000, abs=0.01)


async def test_later_trouble_is_called_degraded_and_has_a_reason(board: Board):
    state, news = health.Health(board, '1.2.3', started=True), News()
    board.apply(news.joined(models=(), problem='unreachable'))
    status, answer = await ask(state)
    assert (status, answer['status'], answer['waiting_for']) == (503, 'degraded', 'model')
    assert answer['problem'] == 'Ollama does not answer.'
    board.tick(n.T0 + 10)
    assert (await ask(state))[1]['problem'] == 'The broker does not answer.'
