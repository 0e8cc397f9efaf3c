"""What the doors of the four take, for the description of all APIs: examples, and what has to be in them."""

from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

Schema = dict[str, Any]
_PAYLOAD = {'messages': [{'role': 'user', 'content': 'Hello!'}]}
_TASK = {'type': 'chat', 'model': 'qwen3', 'priority': 10, 'payload': _PAYLOAD, 'options': {'temperature': 0.2}}
_MESSAGE = {'user_id': 'ann', 'content': 'Hello!', 'priority': 'high', 'metadata': {'source': 'web'}}
_CRON = {'name': 'daily', 'cron_expr': '0 9 * * 1-5', 'timezone': 'UTC', 'enabled': True, 'task_template': _TASK}
_STATES = ['active', 'inactive', 'completed', 'archived']
_TYPES: dict[str, Schema] = {
    'type': {'type': 'string', 'enum': ['chat', 'generate', 'embed']},
    'priority': {'description': 'A number, or where priorities have names, one of these.'},
    'state': {'type': 'string', 'enum': _STATES},
    'payload': {'type': 'object', 'description': 'As Ollama takes it, without the model.'},
    'task_template': {'type': 'object', 'required': ['type', 'model', 'payload']},
    'metadata': {'type': 'object'},
    'options': {'type': 'object'},
    'enabled': {'type': 'boolean'},
}
# by method and path: what is sent, and which of it has to be there
_BODIES: dict[str, tuple[Schema, list[str]]] = {
    'POST /api/tasks': (_TASK, ['type', 'model', 'payload']),
    'POST /api/tasks/{task_id:path}/priority': ({'priority': 15}, ['priority']),
    'POST /api/cron': (_CRON, ['cron_expr', 'task_template']),
    'PUT /api/cron/{schedule_id}': (_CRON, ['cron_expr', 'task_template']),
    'POST /api/v1/messages': ({'conversation_id': 'conv_123456', **_MESSAGE}, ['user_id', 'content']),
    'PUT /api/v1/messages/{message_id:path}/status': ({'status': 'failed', 'metadata': {}}, ['status']),
    'POST /api/v1/conversations': ({'user_id': 'ann', 'title': 'T', 'context': 'Be short.'}, ['user_id']),
    'PUT /api/v1/conversations/{conversation_id}': ({'state': 'completed', 'title': 'T'}, []),
    'PUT /api/v1/conversations/{conversation_id}/state': ({'state': 'completed'}, ['state']),
    'POST /api/v1/conversations/{conversation_id}/messages': ({'content': 'Hello!'}, ['content']),
}
_QUERIES: dict[str, tuple[str, ...]] = {
    'GET /api/tasks': ('status', 'type', 'priority', 'limit', 'offset'),
    'GET /api/cron': ('enabled', 'name', 'limit', 'offset'),
    'GET /api/v1/messages': ('user_id', 'conversation_id', 'status', 'priority', 'page', 'page_size', 'sort', 'order'),
    'GET /api/v1/conversations': ('user_id', 'state', 'page', 'page_size', 'order'),
    'GET /api/v1/users/{user_id}/conversations': ('state', 'page', 'page_size', 'order'),
    'GET /api/v1/queues/stats': ('time_range',),
    'GET /api/v1/metrics': ('format',),
}


def describe(routes: list[BaseRoute]) -> None:
    """Let the routes tell what they take."""
    for route in routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        key = f'{next(iter(route.methods or ()), "")} {route.path}'
        told: Schema = {}
        if key in _BODIES:
            told['requestBody'] = _body(*_BODIES[key])
        if key in _QUERIES:
            told['parameters'] = [
                {'in': 'query', 'name': name, 'required': False, 'schema': {'type': 'string'}} for name in _QUERIES[key]
            ]
        if route.path.startswith('/stream/'):
            told['responses'] = {'200': {'description': 'Events.', 'content': {'text/event-stream': {}}}}
        route.openapi_extra = told or None


def _body(example: Schema, required: list[str]) -> Schema:
    properties = {name: _TYPES.get(name, {'type': 'string'}) for name in example}
    schema: Schema = {'type': 'object', 'properties': properties, 'required': required, 'examples': [example]}
    return {'required': True, 'content': {'application/json': {'schema': schema}}}
