"""The description of all APIs tells of the older ones, too, and what it tells works."""

import jsonschema_rs
import pytest

from app.api.own import description
from tests.app.api.seeds.conftest import entrance_with

OLDER = ('demo6', 'ollama-queue', 'llm-message-queue', 'ai-task-system')


@pytest.fixture(scope='module')
def paths():
    _, app, _ = entrance_with()
    description.describe(app)
    return app.openapi()['paths']


def operations(paths):
    for path, found in paths.items():
        for method, operation in found.items():
            if set(operation.get('tags', ())) & set(OLDER):
                yield path, method, operation


def test_all_older_paths_are_described_and_their_mounts_are_not(paths):
    found = list(operations(paths))
    assert {tag for _, _, operation in found for tag in operation['tags']} == set(OLDER)
    assert all({'403', '404'} & operation['responses'].keys() for _, _, operation in found)
    assert all(operation['summary'] for _, _, operation in found)
    assert not [path for path in paths if path.startswith(('/demo6', '/ollama-queue', '/llm-mq', '/ai-task'))]
    assert 'text/event-stream' in paths['/stream/status/{name}']['get']['responses']['200']['content']


async def test_what_stands_there_as_an_example_is_taken(yard, paths):
    taken = 0
    for path, method, operation in operations(paths):
        if '{' in path or 'requestBody' not in operation:
            continue
        schema = operation['requestBody']['content']['application/json']['schema']
        for example in schema['examples']:
            jsonschema_rs.validate(schema, example)
            answer = await yard.http.request(method.upper(), path, json=example)
            assert answer.status_code in (200, 201, 202), (path, answer.text)
            taken += 1
        for name in schema['required']:
            lacking = {key: value for key, value in schema['examples'][0].items() if key != name}
            assert (await yard.http.request(method.upper(), path, json=lacking)).status_code == 400, (path, name)
    assert taken >= 4
