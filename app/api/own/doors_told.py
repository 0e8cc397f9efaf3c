"""What the doors for Ollama's and OpenAI's clients take and give, as parts of the description of all APIs."""

from typing import Any

import msgspec

from app.api import openai_shapes as shapes
from app.api import openai_told
from app.api.own import ollama_told

Schema = dict[str, Any]
_REF = '#/components/schemas/'
_JSON, _LINES, _EVENTS = 'application/json', 'application/x-ndjson', 'text/event-stream'
_OLLAMA_ERROR: Schema = {
    'type': 'object',
    'required': ['error'],
    'properties': {'error': {'type': 'string'}},
    'examples': [{'error': "model 'x' not found"}],
}
_OPENAI_ERROR: Schema = {
    'type': 'object',
    'required': ['error'],
    'properties': {
        'error': {
            'type': 'object',
            'required': ['message', 'type', 'param', 'code'],
            'properties': {
                'message': {'type': 'string'},
                'type': {'type': 'string'},
                'param': {'type': ['string', 'null']},
                'code': {'type': ['string', 'null']},
            },
        }
    },
}
_MEANING = {
    400: 'The request is not sound.',
    403: 'A foreign page or host name, or something that programs may not do here.',
    404: 'No machine has this model.',
    413: 'The request is too large.',
    415: 'The body is compressed.',
    422: 'The `Idempotency-Key` was used for another request.',
    429: 'The queue is full, or the wait would be longer than the client has patience; see `Retry-After`.',
    499: 'The job was cancelled.',
    500: 'The engine failed.',
    503: 'The queue is full or cannot be reached; see `Retry-After`.',
    504: 'The engine did not answer in time.',
}
_HEADERS: Schema = {
    name: {'description': text, 'schema': {'type': 'string'}}
    for name, text in (
        ('X-Queue-Job-Id', 'The id of the job; several with commas.'),
        ('X-Queue-Position', 'How many jobs went first when it was queued.'),
        ('X-Queue-Wait-Ms', 'How long it waited until its reply began.'),
        ('X-Request-Id', 'As the client gave it, or the id of the job.'),
    )
}
_PARAMETERS: list[Schema] = [
    {'in': 'header', 'name': name, 'required': False, 'description': text, 'schema': {'type': 'string'}}
    for name, text in (
        ('X-Queue-Priority', '0 to 15, or realtime, high, normal, low, batch.'),
        ('X-Queue-User', 'For whom it is, which is who shares fairly with others.'),
        ('Idempotency-Key', 'The same request with the same key is the same job.'),
        ('X-Request-Id', 'Sent back as it came.'),
    )
]
# Two contracts meet on these paths, and the body says which is meant.
_UNIONS = {'/api/chat': 'Demo6Chat', '/v1/chat/completions': 'TaskChat'}


def add(made: Schema) -> None:
    """Put into the description ``made`` what the routes themselves cannot tell."""
    schemas = made.setdefault('components', {}).setdefault('schemas', {})
    schemas |= {'OllamaError': _OLLAMA_ERROR, 'OpenAIError': _OPENAI_ERROR} | ollama_told.SCHEMAS
    asked, parts = msgspec.json.schema_components(
        [shapes.Chat, shapes.Completion, shapes.Embedding], ref_template=f'{_REF}OpenAI{{name}}'
    )
    schemas |= {f'OpenAI{name}': schema for name, schema in parts.items()}
    for path, request, line in ollama_told.QUEUED:
        _queued(made, path, _ref(request), 'OllamaError', {_JSON: _ref(line), _LINES: _ref(line)})
    for path, schema in zip(('/v1/chat/completions', '/v1/completions', '/v1/embeddings'), asked, strict=True):
        streams = {_EVENTS: {'type': 'string'}} if path != '/v1/embeddings' else {}
        _queued(made, path, schema, 'OpenAIError', {_JSON: {'type': 'object'}} | streams)
        if operation := made['paths'].get(path, {}).get('post'):
            openai_told.tell_limits(operation['responses'])
    for path, reply in ollama_told.ANSWERED.items():
        for operation in made['paths'].get(path, {}).values():
            operation['responses'] = {'200': _content('OK', {_JSON: reply}), **_refusals(_ref('OllamaError'))}
    if show := made['paths'].get('/api/show', {}).get('post'):
        show['requestBody'] = _body(ollama_told.NAMED)
    for path in ('/v1/models', '/v1/models/{name}'):
        for operation in made['paths'].get(path, {}).values():
            operation['responses'] = {
                '200': _content('OK', {_JSON: {'type': 'object'}}),
                **_refusals(_ref('OpenAIError')),
            }
    openai_told.add(made, _refusals(_ref('OpenAIError')))
    for path, operations in made['paths'].items():
        for operation in operations.values():
            if 'Off:' in operation.get('summary', ''):
                operation['responses'] = {'403': _content(_MEANING[403], {_JSON: _ref('OllamaError')})}
        if path == '/health' and 'get' in operations:
            operations['get']['responses'] |= {'503': _content('Not now, and why.', {_JSON: {'type': 'object'}})}


def _queued(made: Schema, path: str, request: Schema, error: str, replies: Schema) -> None:
    operation = made['paths'].get(path, {}).get('post')
    if operation is None:
        return
    refusal, reply = _ref(error), replies[_JSON]
    if other := _UNIONS.get(path):
        request = {'anyOf': [request, _ref(other)]}
        reply = {'anyOf': [reply, _ref(f'{other}Reply')]}
        refusal = {'anyOf': [refusal, _ref(f'{other}Error')]}
    operation['requestBody'] = _body(request)
    operation['parameters'] = _PARAMETERS
    kinds = {**replies, _JSON: reply}
    answer = _content('The answer, in one piece or as a stream.', kinds) | {'headers': _HEADERS}
    operation['responses'] = {'200': answer, **_refusals(refusal)}


def _refusals(error: Schema) -> Schema:
    said = {str(status): _content(text, {_JSON: error}) for status, text in _MEANING.items()}
    return said | {'default': _content('As the engine says it.', {_JSON: error})}


def _body(schema: Schema) -> Schema:
    return {'required': True, 'content': {_JSON: {'schema': schema}}}


def _content(text: str, by_type: Schema) -> Schema:
    return {'description': text, 'content': {media_type: {'schema': schema} for media_type, schema in by_type.items()}}


def _ref(name: str) -> Schema:
    return {'$ref': f'{_REF}{name}'}
