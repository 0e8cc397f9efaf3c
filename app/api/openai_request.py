"""What a client of OpenAI's API asks for, as the body that Ollama's own API takes for it. Pure."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import msgspec

from app.api import openai_shapes as shapes
from app.api.trouble import Trouble

THINK: dict[str, bool | str] = {
    'none': False,
    'minimal': 'low',
    'low': 'low',
    'medium': 'medium',
    'high': 'high',
    'max': 'max',
    'xhigh': 'max',
    'ultra': 'max',
}
TIERS = {'priority': 10, 'fast': 10, 'ultrafast': 10, 'auto': 5, 'default': 5, 'scale': 5, 'flex': 1}
TIERS_TOLD = {'auto': 'default', 'fast': 'priority', 'ultrafast': 'priority'}  # what a reply says was used
_IMAGE = re.compile(r'data:image/(?:jpeg|jpg|png|webp);base64,', re.IGNORECASE)

Native = dict[str, Any]


def chat(asked: shapes.Chat) -> list[Native]:
    """One body of ``/api/chat`` for each choice."""
    if asked.messages is None:
        raise _missing('messages')
    if not asked.messages:
        raise Trouble('bad_request', "[] is too short - 'messages'", param='messages')
    body: Native = {'messages': _messages(asked.messages), 'stream': True}
    if tools := _tools(asked):
        body['tools'] = tools
    if asked.response_format is not None and (wanted := _format(asked.response_format)) is not None:
        body['format'] = wanted
    effort = asked.reasoning_effort or (asked.reasoning.effort if asked.reasoning else None)
    if effort is not None:
        if effort not in THINK:
            raise Trouble(
                'bad_request', f'reasoning_effort must be one of {", ".join(THINK)}.', param='reasoning_effort'
            )
        body['think'] = THINK[effort]
    if asked.logprobs:
        body |= {'logprobs': True} | ({'top_logprobs': asked.top_logprobs} if asked.top_logprobs else {})
    limit = asked.max_completion_tokens or asked.max_tokens
    return [body | _settings(asked, limit, choice) for choice in range(asked.n or 1)]


def completion(asked: shapes.Completion) -> tuple[list[Native], list[str]]:
    """Bodies of ``/api/generate``, one for each choice of each prompt, and those prompts."""
    prompts = _texts(asked.prompt, 'prompt')
    more: Native = {'suffix': asked.suffix} if asked.suffix else {}
    if asked.logprobs:
        more |= {'logprobs': True, 'top_logprobs': asked.logprobs}
    every = [(prompt, choice) for prompt in prompts for choice in range(asked.n or 1)]
    if len(every) > shapes.MAX_CHOICES:
        raise Trouble('bad_request', f'One call may ask for {shapes.MAX_CHOICES} completions at most.', param='prompt')
    bodies = [
        {'prompt': prompt, 'stream': True, **more, **_settings(asked, asked.max_tokens, choice)}
        for prompt, choice in every
    ]
    return bodies, [prompt for prompt, _ in every]


def embedding(asked: shapes.Embedding) -> Native:
    """The body of ``/api/embed``."""
    texts = _texts(asked.input, 'input')
    if not all(texts):
        raise Trouble('bad_request', 'input must not have empty texts.', param='input')
    if asked.encoding_format not in (None, 'float', 'base64'):
        raise Trouble('bad_request', 'encoding_format must be float or base64.', param='encoding_format')
    size = {'dimensions': asked.dimensions} if asked.dimensions else {}
    return {'input': texts, **size, **_own(asked), **({'options': asked.options} if asked.options else {})}


def tier_priority(tier: str | None) -> int | None:
    """The priority that a service tier stands for; None where none was asked for."""
    if tier is None:
        return None
    if tier not in TIERS:
        raise Trouble('bad_request', f'service_tier must be one of {", ".join(TIERS)}.', param='service_tier')
    return TIERS[tier]


def _settings(asked: shapes.Sampled, limit: int | None, choice: int) -> Native:
    options: Native = dict(asked.options or {})
    options['temperature'] = 1.0 if asked.temperature is None else asked.temperature
    options['top_p'] = 1.0 if asked.top_p is None else asked.top_p
    if limit is not None:
        options['num_predict'] = limit
    if asked.seed is not None:
        options['seed'] = asked.seed + choice  # else all choices would be the same
    if asked.stop:
        options['stop'] = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    for name in ('frequency_penalty', 'presence_penalty'):
        if getattr(asked, name) is not None:
            options[name] = getattr(asked, name)
    return {'options': options, **_own(asked)}


def _own(asked: shapes.Common) -> Native:
    return {} if asked.keep_alive is msgspec.UNSET else {'keep_alive': asked.keep_alive}


def _texts(given: str | list[str | int | list[int]] | None, param: str) -> list[str]:
    if given is None:
        raise _missing(param)
    texts = [given] if isinstance(given, str) else given
    strings = [text for text in texts if isinstance(text, str)]
    if not texts or len(strings) < len(texts):
        hint = ' (with LangChain: check_embedding_ctx_length=False)' if param == 'input' and texts else ''
        raise Trouble('bad_request', f'{param} must be a text or a list of texts, not tokens{hint}.', param=param)
    return strings


def _messages(given: list[shapes.Message]) -> list[Native]:
    called: dict[str, str] = {}  # names of functions by the id of the call
    found = []
    for place, message in enumerate(given):
        native: Native = {'role': 'system' if message.role == 'developer' else message.role}
        native |= _content(message.content, f'messages.{place}.content')
        if thought := message.reasoning or message.reasoning_content:
            native['thinking'] = thought
        if message.tool_calls:
            native['tool_calls'] = [_call(call, place) for call in message.tool_calls]
            called |= {call.id: call.function.name for call in message.tool_calls if call.function}
        if message.role == 'tool':
            native['tool_call_id'] = message.tool_call_id or ''
            native['tool_name'] = message.name or called.get(message.tool_call_id or '', '')
        found.append(native)
    return found


def _content(given: str | list[shapes.Part] | None, param: str) -> Native:
    if not isinstance(given, list):
        return {'content': given or ''}
    texts, images = [], []
    for part in given:
        match part:
            case shapes.Part(type='text' | 'input_text'):
                texts.append(part.text or '')
            case shapes.Part(type='refusal'):
                texts.append(part.refusal or '')
            case shapes.Part(type='image_url', image_url=shapes.ImageUrl() | str() as image):
                images.append(_image(image if isinstance(image, str) else image.url, param))
            case shapes.Part(type='input_audio', input_audio=shapes.Audio(data=data)):
                images.append(_base64(data, param))  # Ollama takes sound where it takes images
            case _:
                detail = f'A part of type {part.type[:40]} is not taken: text, image_url or input_audio.'
                raise Trouble('bad_request', detail, param=param)
    return {'content': '\n'.join(texts)} | ({'images': images} if images else {})


def _image(url: str, param: str) -> str:
    start = _IMAGE.match(url)
    if start is None:
        detail = 'An image must be a data: URL with a jpeg, png or webp in base64; nothing is fetched from elsewhere.'
        raise Trouble('bad_request', detail, param=param)
    return _base64(url[start.end() :], param)


def _base64(data: str, param: str) -> str:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Trouble('bad_request', 'This is not valid base64.', param=param) from None
    return data


def _call(call: shapes.ToolCall, place: int) -> Native:
    function = call.function or shapes.Function(name='')
    try:
        arguments = msgspec.json.decode(function.arguments or '{}', type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        param = f'messages.{place}.tool_calls'
        raise Trouble('bad_request', f'The arguments of {function.name} are not a JSON object.', param=param) from None
    return {'id': call.id, 'function': {'name': function.name, 'arguments': arguments}}


def _tools(asked: shapes.Chat) -> list[dict[str, Any]]:
    """The tools to offer; a choice that Ollama cannot enforce at least leaves no other tool."""
    choice, tools = asked.tool_choice, asked.tools or []
    if choice == 'none':
        return []
    named = choice.get('function') if isinstance(choice, dict) else None
    name = named.get('name') if isinstance(named, dict) else None
    functions = [(tool, tool.get('function')) for tool in tools]
    if not all(isinstance(function, dict) for _, function in functions):
        raise Trouble('bad_request', 'Each of the tools must be {"type": "function", "function": {…}}.', param='tools')
    return [tool for tool, function in functions if name is None or function.get('name') == name]  # type: ignore[union-attr]


def _format(wanted: shapes.ResponseFormat) -> str | dict[str, msgspec.Raw] | None:
    forms: dict[str, Callable[[], str | dict[str, msgspec.Raw] | None]] = {
        'text': lambda: None,
        'json_object': lambda: 'json',
        'json_schema': lambda: wanted.json_schema.schema if wanted.json_schema else None,
    }
    if wanted.type not in forms:
        raise Trouble('bad_request', f'response_format must be {", ".join(forms)}.', param='response_format.type')
    if wanted.type == 'json_schema' and wanted.json_schema is None:
        raise _missing('response_format.json_schema')
    return forms[wanted.type]()


def _missing(param: str) -> Trouble:
    return Trouble('missing_required_parameter', f"Missing required parameter: '{param}'.", param=param)
