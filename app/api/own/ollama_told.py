"""Ollama's requests and replies as schemas. Fields that are not named here reach the engine as they are."""

from typing import Any

Schema = dict[str, Any]
_TEXT: Schema = {'type': 'string'}
_COUNT: Schema = {'type': 'integer', 'minimum': 0}
_COMMON: Schema = {
    'model': {'type': 'string', 'examples': ['qwen3']},
    'stream': {'type': ['boolean', 'null'], 'default': True, 'description': 'Left out it is true.'},
    'options': {'type': 'object', 'description': 'num_ctx, temperature, num_predict, …'},
    'keep_alive': {'type': ['string', 'number'], 'examples': ['5m']},
    'format': {'anyOf': [{'type': 'string'}, {'type': 'object'}, {'type': 'null'}]},
    'think': {'type': ['boolean', 'string']},
}
_MESSAGE: Schema = {
    'type': 'object',
    'required': ['role'],
    'properties': {
        'role': {'type': 'string', 'examples': ['user']},
        'content': _TEXT,
        'thinking': _TEXT,
        'images': {'type': 'array', 'items': _TEXT},
        'tool_calls': {'type': 'array', 'items': {'type': 'object'}},
    },
}
_DONE: Schema = {
    'done': {'type': 'boolean'},
    'done_reason': _TEXT,
    **{name: {**_COUNT, 'description': 'Nanoseconds.'} for name in ('total_duration', 'load_duration')},
    'prompt_eval_count': _COUNT,
    'prompt_eval_duration': {**_COUNT, 'description': 'Nanoseconds.'},
    'eval_count': _COUNT,
    'eval_duration': {**_COUNT, 'description': 'Nanoseconds.'},
}


def _object(required: list[str], text: str, **fields: Schema) -> Schema:
    return {'type': 'object', 'description': text, 'required': required, 'properties': fields}


def _line(**fields: Schema) -> Schema:
    text = 'One line of a stream, or, with `"stream": false`, all in one.'
    return _object([], text, model=_TEXT, created_at=_TEXT, **fields, **_DONE)


SCHEMAS: dict[str, Schema] = {
    'OllamaChat': _object(
        ['model'],
        'The next message of a chat, as Ollama takes it.',
        **_COMMON,
        messages={'type': 'array', 'items': _MESSAGE},
        tools={'type': 'array', 'items': {'type': 'object'}},
    ),
    'OllamaGenerate': _object(
        ['model'],
        'What follows a prompt, as Ollama takes it.',
        **_COMMON,
        prompt=_TEXT,
        suffix=_TEXT,
        system=_TEXT,
        template=_TEXT,
        raw={'type': 'boolean'},
        images={'type': 'array', 'items': _TEXT},
    ),
    'OllamaEmbed': _object(
        ['model'],
        'Texts to embed, as Ollama takes them.',
        model=_COMMON['model'],
        input={'anyOf': [_TEXT, {'type': 'array', 'items': _TEXT}]},
        truncate={'type': 'boolean'},
        dimensions=_COUNT,
        options=_COMMON['options'],
        keep_alive=_COMMON['keep_alive'],
    ),
    'OllamaEmbedding': _object(
        ['model'], 'A text to embed, the older form.', model=_COMMON['model'], prompt=_TEXT, options=_COMMON['options']
    ),
    'OllamaChatLine': _line(message=_MESSAGE),
    'OllamaGenerateLine': _line(response=_TEXT, thinking=_TEXT),
    'OllamaEmbeddings': _object(
        [],
        'The vectors.',
        model=_TEXT,
        embeddings={'type': 'array', 'items': {'type': 'array', 'items': {'type': 'number'}}},
    ),
    'OllamaVector': _object(
        ['embedding'], 'The vector.', embedding={'type': 'array', 'items': {'type': 'number'}}
    ),
    'Demo6Chat': _object(
        ['userId', 'prompt'],
        'Without `messages`, and with `userId` or without `model`: the chat queue of demo6.',
        userId=_TEXT,
        prompt=_TEXT,
        model=_TEXT,
        priority={'type': 'integer', 'minimum': 1, 'maximum': 10},
        conversationHistory={'type': 'array', 'items': {'type': 'object'}},
    ),
    'TaskChat': _object(
        ['prompt'],
        'Without `messages`, with a `prompt`: a task of ai-task-system.',
        prompt=_TEXT,
        model=_TEXT,
        conversation_id={'type': ['string', 'null']},
    ),
    'Demo6ChatReply': _object(['success', 'jobId'], 'It is queued.', success={'type': 'boolean'}, jobId=_TEXT),
    'Demo6ChatError': _object(['error'], 'Why not.', error=_TEXT),
    'TaskChatReply': _object(['task_id'], 'It is queued.', task_id=_TEXT, conversation_id=_TEXT, message=_TEXT),
    'TaskChatError': _object(['detail'], 'Why not.', detail={}),
}  # fmt: skip
QUEUED = (  # path, request, line of the answer
    ('/api/chat', 'OllamaChat', 'OllamaChatLine'),
    ('/api/generate', 'OllamaGenerate', 'OllamaGenerateLine'),
    ('/api/embed', 'OllamaEmbed', 'OllamaEmbeddings'),
    ('/api/embeddings', 'OllamaEmbedding', 'OllamaVector'),
)
NAMED = _object([], 'Which model.', model=_TEXT, name={**_TEXT, 'description': 'The older word for model.'})
_MODELS = _object(['models'], 'Models.', models={'type': 'array', 'items': {'type': 'object'}})
ANSWERED: dict[str, Schema] = {
    '/api/version': _object(['version'], 'The version.', version=_TEXT),
    '/api/tags': _MODELS,
    '/api/ps': _MODELS,
    '/api/show': {'type': 'object'},
}
