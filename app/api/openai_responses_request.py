"""What a client of ``/v1/responses`` asks for: as a chat, which is what Ollama's own API takes for it. Pure."""

from typing import Annotated, Any

import msgspec

from app.api import openai_request as asked_for
from app.api import openai_shapes as shapes
from app.api.trouble import Trouble

LOGPROBS = 'message.output_text.logprobs'  # the one of the things to include that is there
WINDOWS_S = {'soonest': 0.0, '2h': 7200.0, '8h': 28800.0}
WINDOW_PRIORITY = {'2h': 1, '8h': 0}
_ELSEWHERE = {  # what only OpenAI has
    'conversation': 'send previous_response_id instead',
    'prompt': 'send the text itself as instructions',
}


class Summary(msgspec.Struct):
    """A piece of what a model thought."""

    text: str = ''


class Item(msgspec.Struct):
    """One piece of the input: a message where it has no other type."""

    type: str = 'message'
    id: str | None = None
    role: str = 'user'
    content: str | list[shapes.Part] | None = None
    call_id: str = ''
    name: str = ''
    arguments: str = ''
    output: str | list[shapes.Part] | None = None
    summary: list[Summary] | None = None


class Format(msgspec.Struct):
    """text, json_object, or json_schema with its schema."""

    type: str = 'text'
    name: str = ''
    description: str | None = None
    schema: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None


class Text(msgspec.Struct):
    """How the text of the answer should be."""

    format: Format | None = None


class BackgroundOptions(msgspec.Struct):
    """When an answer in the background is wanted."""

    completion_window: str = 'soonest'


class Asked(shapes.Common, kw_only=True):
    """``POST /v1/responses``."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    max_output_tokens: shapes.AtLeastOne | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: shapes.Reasoning | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    background_options: BackgroundOptions | None = None
    previous_response_id: str | None = None
    metadata: dict[str, str] | None = None
    truncation: str | None = None
    conversation: msgspec.Raw | None = None
    prompt: msgspec.Raw | None = None

    @property
    def kept(self) -> bool:
        """Whether the answer can be asked for later."""
        return self.store is not False

    @property
    def window(self) -> str:
        """By when an answer in the background is wanted: soonest, 2h or 8h."""
        return self.background_options.completion_window if self.background and self.background_options else 'soonest'

    def shown(self) -> dict[str, Any]:
        """What an answer repeats of its request."""
        tier = self.service_tier
        told = {'service_tier': asked_for.TIERS_TOLD.get(tier, tier)} if tier else {}
        form = self.text.format if self.text and self.text.format else Format()
        return {
            'model': self.model,
            'instructions': self.instructions,
            'max_output_tokens': self.max_output_tokens,
            'temperature': 1.0 if self.temperature is None else self.temperature,
            'top_p': 1.0 if self.top_p is None else self.top_p,
            'tools': [_shown(tool) for tool in self.tools or ()],
            'tool_choice': self.tool_choice or 'auto',
            'parallel_tool_calls': self.parallel_tool_calls is not False,
            'text': {'format': _format_shown(form)},
            'reasoning': {'effort': _effort_shown(self.reasoning), 'summary': None},
            'top_logprobs': self.top_logprobs,
            'background': bool(self.background),
            'previous_response_id': self.previous_response_id,
            'metadata': self.metadata or {},
            'store': self.kept,
            'truncation': self.truncation if self.truncation in ('auto', 'disabled') else 'disabled',
            'user': self.user,
            'safety_identifier': self.safety_identifier,
            **told,
        }


def native(asked: Asked) -> asked_for.Native:
    """The body of ``/api/chat``, without what was said before ``previous_response_id``. Raises ``Trouble``."""
    for name, instead in _ELSEWHERE.items():
        if getattr(asked, name) not in (None, msgspec.Raw(b'null')):
            raise Trouble('bad_request', f'{name} is not there; {instead}.', param=name)
    if asked.input is None:
        raise Trouble('missing_required_parameter', "Missing required parameter: 'input'.", param='input')
    if not asked.input and not asked.previous_response_id:
        raise Trouble('bad_request', 'input must not be empty.', param='input')
    if asked.background and not asked.kept:
        raise Trouble('bad_request', 'An answer in the background is kept: store must not be false.', param='store')
    if asked.window not in WINDOWS_S:
        names = ', '.join(WINDOWS_S)
        raise Trouble('bad_request', f'completion_window must be one of {names}.', param='background_options')
    head = [shapes.Message('system', asked.instructions)] if asked.instructions else []
    said = _messages(asked.input)
    try:
        (body,) = asked_for.chat(_chat(asked, [*head, *said] or [shapes.Message('user', '')]))
    except Trouble as failure:
        failure.param = _in_our_words(failure.param, len(head))
        raise
    return body


def items(asked: Asked, given: bytes, name: str) -> list[dict[str, Any]]:
    """The input as ``input_items`` lists it, as it was written in ``given``, each with an id made from ``name``."""
    found = msgspec.json.decode(given, type=_Given).input
    texts: list[Any] = [{'role': 'user', 'content': found}] if isinstance(found, str) else found or []
    return [_listed(item, f'{name}_{place}') for place, item in enumerate(texts)]


class _Given(msgspec.Struct):
    input: str | list[dict[str, Any]] | None = None


def _listed(item: dict[str, Any], otherwise: str) -> dict[str, Any]:
    kind = item.get('type') or 'message'
    prefix = {'message': 'msg', 'function_call': 'fc', 'function_call_output': 'fco', 'reasoning': 'rs'}.get(kind, 'it')
    found = {**item, 'type': kind, 'id': item.get('id') or f'{prefix}_{otherwise}'}
    if kind in ('message', 'function_call', 'function_call_output'):
        found.setdefault('status', 'completed')
    if kind == 'message' and isinstance(item.get('content'), str):
        by_model = item.get('role') == 'assistant'
        part = {'type': 'output_text', 'text': item['content'], 'annotations': []}
        found['content'] = [part if by_model else {'type': 'input_text', 'text': item['content']}]
    if kind == 'message':
        for part in found['content'] if isinstance(found.get('content'), list) else ():
            if isinstance(part, dict) and part.get('type') == 'input_image':
                part.setdefault('detail', 'auto')
    return found


def _chat(asked: Asked, messages: list[shapes.Message]) -> shapes.Chat:
    form = asked.text.format if asked.text else None
    wanted = shapes.ResponseFormat(form.type) if form else None
    if form and wanted and form.schema is not None:
        wanted.json_schema = shapes.JsonSchema(form.schema)
    return shapes.Chat(
        model=asked.model,
        messages=messages,
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_completion_tokens=asked.max_output_tokens,
        response_format=wanted,
        reasoning=asked.reasoning,
        tools=[_nested(tool) for tool in asked.tools or ()],
        tool_choice=_choice(asked.tool_choice),
        logprobs=bool(asked.top_logprobs) or LOGPROBS in (asked.include or ()),
        top_logprobs=asked.top_logprobs,
        options=asked.options,
        keep_alive=asked.keep_alive,
    )


def _messages(given: str | list[Item]) -> list[shapes.Message]:
    if isinstance(given, str):
        return [shapes.Message('user', given)] if given else []
    found: list[shapes.Message] = []
    thought = ''
    for place, item in enumerate(given):
        match item.type:
            case 'message':
                found.append(shapes.Message(item.role, _parts(item.content)))
            case 'function_call':
                call = shapes.ToolCall(item.call_id, shapes.Function(item.name, item.arguments))
                if found and found[-1].role == 'assistant':  # what a model says and calls at once is one message
                    found[-1].tool_calls = [*(found[-1].tool_calls or ()), call]
                else:
                    found.append(shapes.Message('assistant', tool_calls=[call]))
            case 'function_call_output':
                found.append(shapes.Message('tool', _parts(item.output), tool_call_id=item.call_id))
            case 'reasoning':
                thought += ''.join(part.text for part in item.summary or ())
            case _:
                detail = 'message, function_call, function_call_output or reasoning'
                raise Trouble(
                    'bad_request', f'An item of type {item.type[:40]} is not taken: {detail}.', param=f'input.{place}'
                )
        if thought and found and found[-1].role == 'assistant':
            found[-1].reasoning, thought = thought, ''
    return found


def _parts(content: str | list[shapes.Part] | None) -> str | list[shapes.Part] | None:
    if not isinstance(content, list):
        return content
    names = {'output_text': 'text', 'input_image': 'image_url'}
    return [msgspec.structs.replace(part, type=names.get(part.type, part.type)) for part in content]


def _nested(tool: dict[str, Any]) -> dict[str, Any]:
    """A function as chats have it: one level deeper."""
    if tool.get('type') != 'function' or not isinstance(tool.get('name'), str):
        raise Trouble('bad_request', 'Each of the tools must be {"type": "function", "name": …}.', param='tools')
    inner = {name: tool[name] for name in ('name', 'description', 'parameters') if tool.get(name) is not None}
    return {'type': 'function', 'function': inner}


def _choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    return {'function': {'name': choice.get('name')}} if isinstance(choice, dict) else choice


def _shown(tool: dict[str, Any]) -> dict[str, Any]:
    return {'parameters': None, 'strict': False} | tool


def _format_shown(form: Format) -> dict[str, Any]:
    if form.type != 'json_schema':
        return {'type': form.type}
    return msgspec.structs.asdict(form)


def _effort_shown(reasoning: shapes.Reasoning | None) -> str | None:
    return reasoning.effort if reasoning else None


def _in_our_words(param: str | None, head: int) -> str | None:
    """Where in the input it is, for what was wrong with a message."""
    names = {
        'response_format.type': 'text.format',
        'response_format.json_schema': 'text.format',
        'reasoning_effort': 'reasoning.effort',
    }
    if param is None or not param.startswith('messages'):
        return names.get(param or '', param)
    _, _, rest = param.partition('.')
    place, _, inner = rest.partition('.')
    return '.'.join(filter(None, ('input', str(int(place) - head) if place.isdigit() else '', inner)))
