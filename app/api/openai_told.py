"""What the paths of responses, files and batches take and give, as parts of the description of all APIs."""

from typing import Any

import msgspec

from app.api import openai_batches, openai_files, openai_limits, openai_responses
from app.api import openai_responses_request as responses
from app.api.openai_batch import Batch
from app.api.openai_shelf import File

Schema = dict[str, Any]
_REF = '#/components/schemas/OpenAI{name}'
_JSON = 'application/json'
_OBJECT: Schema = {'type': 'object'}
_UPLOAD: Schema = {
    'type': 'object',
    'required': ['file', 'purpose'],
    'properties': {
        'file': {'type': 'string', 'format': 'binary'},
        'purpose': {'type': 'string', 'enum': [openai_files.PURPOSE]},
        'expires_after[anchor]': {'type': 'string', 'enum': ['created_at']},
        'expires_after[seconds]': {'type': 'integer', 'minimum': 3600, 'maximum': 2_592_000},
    },
}
_AFTER: Schema = {'in': 'query', 'name': 'after', 'description': 'The last id of the page before.'}
_ORDER: Schema = {'in': 'query', 'name': 'order', 'description': 'By time.'}
_LIMITS: Schema = {
    name: {'description': f'{text} Only where something is limited.', 'schema': {'type': 'string'}}
    for name, text in (
        (openai_limits.LIMIT, 'Of the tightest limit that counts for the call: how many may start at once.'),
        (openai_limits.REMAINING, 'So many of them are left, what waits counted as if it had started.'),
        (openai_limits.RESET, 'After this time without another call all are left again: `1m30s`, `250ms`.'),
    )
}


def add(made: Schema, refusals: Schema) -> None:
    """Put it into the description ``made``; ``refusals`` are the replies that say no."""
    shapes = (responses.Asked, openai_batches.Asked, File, Batch)
    (response, batch, file, shown), parts = msgspec.json.schema_components(shapes, ref_template=_REF)
    made['components']['schemas'] |= {f'OpenAI{name}': schema for name, schema in parts.items()}
    one, items = f'{openai_responses.PATH}/{{name}}', f'{openai_responses.PATH}/{{name}}/input_items'
    told: list[tuple[str, str, Schema, list[Schema], Schema]] = [
        ('post', openai_responses.PATH, _json(response), [], _events(_OBJECT)),
        ('get', one, {}, [_query('stream', 'boolean'), _query('starting_after', 'integer')], _events(_OBJECT)),
        ('delete', one, {}, [], _json(_OBJECT)),
        ('post', f'{one}/cancel', {}, [], _json(_OBJECT)),
        ('get', items, {}, _page(100), _json(_OBJECT)),
        ('post', openai_files.PATH, {'multipart/form-data': {'schema': _UPLOAD}}, [], _json(file)),
        ('get', openai_files.PATH, {}, [*_page(openai_files.MOST), _query('purpose', 'string')], _json(_list(file))),
        ('get', f'{openai_files.PATH}/{{name}}', {}, [], _json(file)),
        ('delete', f'{openai_files.PATH}/{{name}}', {}, [], _json(_OBJECT)),
        ('get', f'{openai_files.PATH}/{{name}}/content', {}, [], {'application/octet-stream': {}}),
        ('post', openai_batches.PATH, _json(batch), [], _json(shown)),
        ('get', openai_batches.PATH, {}, _page(100)[:2], _json(_list(shown))),
        ('get', f'{openai_batches.PATH}/{{name}}', {}, [], _json(shown)),
        ('post', f'{openai_batches.PATH}/{{name}}/cancel', {}, [], _json(shown)),
    ]
    for method, path, taken, parameters, given in told:
        operation = made['paths'].get(path, {}).get(method)
        if operation is None:
            continue
        named = [_query('name', 'string') | {'in': 'path', 'required': True}] if '{name}' in path else []
        operation['parameters'] = [*named, *parameters]
        operation['responses'] = {'200': {'description': 'OK', 'content': given}, **refusals}
        if taken:
            operation['requestBody'] = {'required': True, 'content': taken}
        if (method, path) == ('post', openai_responses.PATH):
            tell_limits(operation['responses'])


def tell_limits(responses: Schema) -> None:
    """Add the headers of limits to an answer, and to the reply of a full queue."""
    for status in ('200', '429'):
        told = responses[status]
        responses[status] = told | {'headers': told.get('headers', {}) | _LIMITS}


def _json(schema: Schema) -> Schema:
    return {_JSON: {'schema': schema}}


def _events(schema: Schema) -> Schema:
    return _json(schema) | {'text/event-stream': {'schema': {'type': 'string'}}}


def _list(item: Schema) -> Schema:
    name: Schema = {'type': ['string', 'null']}
    fields: Schema = {'object': {'const': 'list'}, 'data': {'type': 'array', 'items': item}}
    fields |= {'first_id': name, 'last_id': name, 'has_more': {'type': 'boolean'}}
    return {'type': 'object', 'required': list(fields), 'properties': fields}


def _page(most: int) -> list[Schema]:
    limit = {'type': 'integer', 'minimum': 1, 'maximum': most}
    order = {'type': 'string', 'enum': ['asc', 'desc']}
    return [
        {**_AFTER, 'schema': {'type': 'string'}},
        {**_query('limit', 'integer'), 'schema': limit},
        {**_ORDER, 'schema': order},
    ]


def _query(name: str, kind: str) -> Schema:
    return {'in': 'query', 'name': name, 'required': False, 'schema': {'type': kind}}
