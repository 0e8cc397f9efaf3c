"""Changing models through the desk: over our own API, and over Ollama's where that is allowed."""

import contextlib
import json

import pytest

import run
from app.api import ollama_refusal
from tests.app.api.office import Office, until
from tests.standin import Library, StandIn


@contextlib.asynccontextmanager
async def desk(folder, **settings):
    """The doors in front of a queue with one worker on a stand-in for Ollama; its http client and the stand-in."""
    async with StandIn(faults=False) as ollama:
        ollama.library['tiny:latest'] = Library(parts=(1000, 20), steps=4)
        queue = run.Corral(folder / 'queue', engine='ollama', ollama_url=ollama.url)
        async with queue, Office(folder / 'queue', folder, **settings) as office:

            async def there():
                return office.board.models()

            await until(there)
            yield office.http, ollama


async def names(http):
    return [model['name'] for model in (await http.get('/api/tags')).json()['models']]


async def test_a_program_pulls_loads_and_removes_a_model_over_our_own_api(tmp_path):
    async with desk(tmp_path) as (http, ollama):
        place = '/api/workers/embedded/models'
        told = await http.post(place, json={'action': 'pull', 'model': 'tiny', 'stream': True})
        lines = [json.loads(line) for line in told.text.splitlines()]
        assert lines[-1]['state'] == 'done'
        assert (
            await http.post('/api/generate', json={'model': 'tiny', 'prompt': 'x', 'stream': False})
        ).status_code == 200

        loaded = await http.post(place, json={'action': 'load', 'model': 'tiny:latest', 'keep_s': -1, 'wait': True})
        assert loaded.json()['state'] == 'done'

        async def in_memory():
            found = {model['name']: model for model in (await http.get('/api/ps')).json()['models']}
            return found.get('tiny:latest') if found.get('tiny:latest', {}).get('size_vram') else None

        found = await until(in_memory)
        assert found['expires_at'] > '2300'
        assert found['size'] == 1020

        ollama.library['full:latest'] = Library(error='write: no space left on device')
        failed = (await http.post(place, json={'action': 'pull', 'model': 'full', 'wait': True})).json()
        assert (failed['state'], failed['code']) == ('failed', 'disk_full')
        ids = [each['errand_id'] for each in (await http.get('/api/errands')).json()['errands']]
        assert failed['errand_id'] in ids
        assert (await http.get(f'/api/errands/{failed["errand_id"]}')).json()['detail'] == failed['detail']

        ollama.library['long:latest'] = Library(steps=100_000, pause_s=0.01)
        going = (await http.post(place, json={'action': 'pull', 'model': 'long'})).json()
        assert (await http.post(place, json={'action': 'pull', 'model': 'long'})).json()['errand_id'] == going[
            'errand_id'
        ]
        await http.delete(f'/api/errands/{going["errand_id"]}')

        async def stopped():
            return (await http.get(f'/api/errands/{going["errand_id"]}')).json()['state'] == 'cancelled'

        await until(stopped)
        assert (await http.post(place, json={'action': 'remove', 'model': 'tiny:latest', 'wait': True})).json()[
            'state'
        ] == 'done'
        assert 'tiny:latest' not in await names(http)
        for asked, status in (
            (('/api/workers/nobody/models', {'action': 'pull', 'model': 'm'}), 404),
            ((place, {'action': 'dance', 'model': 'm'}), 422),
            ((place, {'action': 'pull', 'model': ' m'}), 422),
        ):
            assert (await http.post(asked[0], json=asked[1])).status_code == status
        assert (await http.get('/api/errands/none')).status_code == 404
        assert (await http.get('/api/machines')).json() == {'machines': []}
        refused = await http.post('/api/machines', json={'name': 'box'})
        assert (refused.status_code, refused.json()['error']['code']) == (409, 'not_listening')
        assert (await http.delete('/api/machines/box')).status_code == 409


async def test_ollamas_clients_change_models_where_that_is_allowed(tmp_path):
    async with desk(tmp_path, allow_admin=True) as (http, ollama):
        told = [json.loads(line) for line in (await http.post('/api/pull', json={'model': 'tiny'})).text.splitlines()]
        assert told[-1] == {'status': 'success'}
        assert (await http.post('/api/pull', json={'model': 'tiny', 'stream': False})).json() == {'status': 'success'}
        assert (await http.post('/api/copy', json={'source': 'tiny', 'destination': 'mine'})).status_code == 200
        assert {'tiny:latest', 'mine:latest'} <= set(await names(http))
        gone = await http.request('DELETE', '/api/delete', json={'model': 'mine'})
        assert (gone.status_code, gone.content) == (200, b'')
        assert 'mine:latest' not in await names(http)
        assert ollama.admin[-1] == ('/api/delete', 'mine:latest')

        unknown = [
            json.loads(line) for line in (await http.post('/api/pull', json={'model': 'nope'})).text.splitlines()
        ]
        assert set(unknown[-1]) == {'error'}
        missing = await http.request('DELETE', '/api/delete', json={'model': 'nope'})
        assert (missing.status_code, missing.json()) == (404, {'error': "model 'nope' not found"})
        assert (await http.post('/api/pull', json={})).json() == {'error': 'model is required'}
        assert (await http.post('/api/blobs/sha256:00', content=b'x')).status_code == 403


@pytest.mark.parametrize(
    ('method', 'path'), [('POST', '/api/pull'), ('DELETE', '/api/delete'), ('POST', '/api/create')]
)
async def test_otherwise_they_are_refused_as_ollama_would(door_http, method, path):
    reply = await door_http(method, path)
    assert reply.status == 403
    assert reply.json == {'error': ollama_refusal.ADMIN}


@pytest.fixture
async def door_http():
    from tests.app.api.door import Door

    async with Door() as door:
        yield lambda method, path: door.call(method, path, {'model': 'm'}).end()
