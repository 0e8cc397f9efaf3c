"""Calls that wait for a model go straight to their door."""

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.responses import PlainTextResponse

from app.api import ollama, openai_calls
from app.api.entrance import Entrance
from app.api.shortcut import Shortcut
from app.board import Board


async def otherwise(scope, receive, send):
    await PlainTextResponse('otherwise')(scope, receive, send)


async def straight(request):
    return PlainTextResponse(await request.body())


@pytest.mark.parametrize(
    ('method', 'path', 'told'),
    [
        ('POST', '/quick', 'asked'),
        ('POST', '/quick?a=1', 'asked'),
        ('POST', '/quick/', 'otherwise'),
        ('POST', '/other', 'otherwise'),
        ('GET', '/quick', 'otherwise'),
        ('OPTIONS', '/quick', 'otherwise'),
    ],
)
async def test_only_a_post_to_its_very_path_goes_straight_to_a_door(method, path, told):
    app = Shortcut(otherwise, {'/quick': straight})
    async with AsyncClient(transport=ASGITransport(app), base_url='http://here') as http:
        assert (await http.request(method, path, content=b'asked')).text == told


async def test_what_is_no_request_passes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    for scope in ({'type': 'websocket', 'path': '/quick'}, {'type': 'lifespan'}):
        await Shortcut(app, {'/quick': straight})(scope, None, None)
    assert [scope['type'] for scope in seen] == ['websocket', 'lifespan']


async def test_no_call_that_waits_for_a_model_looks_for_its_route():
    api = FastAPI()
    Entrance(Board(), heartbeat_s=60).add(api)
    api.router.routes.clear()
    async with AsyncClient(transport=ASGITransport(api), base_url='http://here') as http:
        for path in (*ollama.KINDS, *openai_calls.CALLS):
            assert (await http.post(path)).status_code == 400, path  # no body; 404 would be nobody's
        assert (await http.post('/api/show')).status_code == 404
