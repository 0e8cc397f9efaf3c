"""The description of all APIs: sound, complete, and what the running desk does."""

import re

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api.entrance import Entrance
from app.api.own import description
from app.api.own.pages import _PAGE
from app.board import Board
from tests.app.api.conftest import serving
from tests.app.api.own.fuzzing import fuzz, is_ours
from tests.nightly import many


@pytest.fixture(scope='module')
def api():
    made = FastAPI(title='Corral', version='1')
    Entrance(Board(), heartbeat_s=1).add(made)
    description.describe(made)
    return made


@pytest.fixture(scope='module')
def schema(api):
    return api.openapi()


def references(node):
    if isinstance(node, dict):
        yield from ([node['$ref']] if isinstance(node.get('$ref'), str) else [])
        node = node.values()
    elif not isinstance(node, list):
        return
    for each in node:
        yield from references(each)


def operations(schema):
    for path, found in schema['paths'].items():
        for method, operation in found.items():
            yield f'{method.upper()} {path}', operation


def test_every_reference_leads_somewhere(schema):
    for reference in references(schema):
        node = schema
        for part in reference.removeprefix('#/').split('/'):
            node = node[part.replace('~1', '/').replace('~0', '~')]


def test_every_route_of_ours_is_described_with_its_refusals(api, schema):
    described = {name for name, _ in operations(schema)}
    routed = {
        f'{method} {route.path}'
        for route in api.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in route.methods
    }
    assert {name for name in routed if is_ours(name)} <= described and len(described) > 50
    for name, operation in operations(schema):
        if is_ours(name):
            assert operation['summary'] and operation['description'], name
            assert {'403', '413', '422', '503'} <= operation['responses'].keys(), name
            shown = operation['responses']['422']['content']['application/json']['schema']
            assert shown == {'$ref': '#/components/schemas/Error'}, name


def test_every_schema_of_a_request_or_a_reply_is_one(schema):
    for name, operation in operations(schema):
        for part in (operation.get('requestBody', {}), *operation['responses'].values()):
            for media_type, content in part.get('content', {}).items():
                assert isinstance(content.get('schema', {}), dict), (name, media_type)


def test_every_operation_has_a_name_of_its_own(schema):
    names = [operation['operationId'] for _, operation in operations(schema)]
    assert len(names) == len(set(names))


def test_the_paths_where_two_contracts_meet_say_so(schema):
    for path, models in (
        ('/api/chat', ['OllamaChat', 'Demo6Chat']),
        ('/v1/chat/completions', ['OpenAIChat', 'TaskChat']),
    ):
        body = schema['paths'][path]['post']['requestBody']['content']['application/json']['schema']
        assert body == {'anyOf': [{'$ref': f'#/components/schemas/{name}'} for name in models]}
    kinds = schema['paths']['/api/chat']['post']['responses']['200']['content']
    assert set(kinds) == {'application/json', 'application/x-ndjson'}


def test_every_example_fits_its_own_schema(schema):
    count = 0
    for name, found in schema['components']['schemas'].items():
        whole = {'$ref': f'#/components/schemas/{name}', 'components': schema['components']}
        for example in found.get('examples', []):
            jsonschema_rs.validate(whole, example)
            count += 1
    assert count >= 5


@pytest.mark.whole
def test_facts_and_histories_are_as_described(http, ask, schema):
    job = ask()
    for path, name in (('/api/facts', 'Facts'), (f'/api/jobs/{job["id"]}/history', 'History')):
        whole = {'$ref': f'#/components/schemas/{name}', 'components': schema['components']}
        jsonschema_rs.validate(whole, http.get(path).json())


@pytest.mark.whole
def test_the_page_needs_nothing_from_elsewhere(http):
    page = http.get('/docs')
    assert page.status_code == 200 and page.text == _PAGE and 'http' not in _PAGE.replace('<!doctype html>', '')
    for address in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        if not address.startswith('data:'):
            part = http.get(f'/{address}')
            assert part.status_code == 200 and len(part.content) > 10_000, address
    assert http.get('/docs/LICENSE').status_code == http.get('/docs/..%2Fpages.py').status_code == 404
    assert http.get('/openapi.json').json()['info']['title'] == 'Corral'


@pytest.mark.whole
@pytest.mark.browser
@pytest.mark.asyncio(loop_scope='session')
async def test_the_page_shows_the_operations_and_asks_nobody_else(desk, chromium):
    page, asked = await chromium.new_page(), []
    page.on('request', lambda request: asked.append(request.url))
    await page.goto(f'{desk}/docs')
    await page.locator('.opblock-tag').first.wait_for()
    assert await page.locator('.opblock-tag').count() >= 8
    await page.locator('#operations-tag-Jobs').click()
    await page.get_by_text('Queue a job').first.wait_for()
    assert all(url.startswith((desk, 'data:', 'blob:')) for url in asked) and len(asked) >= 4
    shown = [(await tag.get_attribute('data-tag')) for tag in await page.locator('.opblock-tag').all()]
    assert shown[:2] == ['Jobs', 'Batches'] and shown[-1] == 'ai-task-system'
    assert shown.index('Operation') < shown.index('Ollama') < shown.index('OpenAI') < shown.index('demo6')
    dark = "document.documentElement.classList.contains('dark-mode')"
    for scheme in ('light', 'dark'):
        await page.emulate_media(color_scheme=scheme)
        await page.wait_for_function(f'{dark} === {str(scheme == "dark").lower()}')
    await page.evaluate("document.cookie = 'corral_theme=light; path=/'")
    await page.reload()
    assert not await page.evaluate(dark)
    await page.close()


@pytest.mark.whole
@pytest.mark.timeout(many(180, 3_600))
def test_generated_requests_find_no_failure_no_unknown_status_and_no_unknown_shape(upstream, tmp_path):
    with serving(upstream, tmp_path) as url:  # one of its own: they pause it, and leave a lot behind
        assert fuzz(url, examples=many(3, 50)) > 100
