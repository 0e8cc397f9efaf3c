"""What files of conversations say: exports of this desk, of Open WebUI, of ChatGPT and of Claude, as JSON.

Pure. What is not understood of a conversation is left out; one that cannot be read is None.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from app.messages import ROOT, Extras, File, Message, Stats
from broker.job import AUTO_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY

MOST_MESSAGES = 10_000  # of a conversation
MOST_CHARS = 2_000_000  # of a message
TITLE_CHARS = 200
_PICTURES = ((b'\x89PNG\r\n\x1a\n', 'image/png'), (b'\xff\xd8\xff', 'image/jpeg'))
_STATES = ('completed', 'cancelled', 'dead')
# an escaped backslash or a whole character of two escapes (kept), or half of one
_HALVES = re.compile(
    rb'(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}'
)
# a text (kept), or a number that is none
_NO_NUMBERS = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|-?\b(?:NaN|Infinity)\b', re.DOTALL)


@dataclass
class Read:
    """A conversation as it was read, with ids of its own; ``parent`` of a message is '' where it comes first."""

    source: str
    id: str
    title: str
    created_at: float
    updated_at: float
    messages: list[Message] = field(default_factory=list)
    shown: str = ''
    model: str = ''
    priority: int = 5
    options: str = '{}'
    folder: str = ''
    pinned: bool = False
    archived: bool = False
    files: dict[str, bytes] = field(default_factory=dict)


class _Envelope(msgspec.Struct):
    conversations: list[msgspec.Raw]


def split(body: bytes | memoryview) -> list[msgspec.Raw]:
    """The conversations of a file, which are not read yet, nor copied. Raises ``ValueError`` for what is no JSON."""
    if body[:3] == b'\xef\xbb\xbf':
        body = body[3:]
    try:
        try:
            return _listed(body)
        except msgspec.DecodeError:
            return _listed(_mended(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError('no JSON') from error


def _listed(body: bytes | memoryview) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        pass
    try:
        return msgspec.json.decode(body, type=_Envelope).conversations
    except msgspec.ValidationError:
        return [msgspec.Raw(body)]  # one by itself, perhaps


def _mended(body: bytes | memoryview) -> bytes:
    """JSON as some write it, with halves of characters and with numbers that are none, as it should be."""
    whole = _HALVES.sub(lambda found: found[1] or b'\\ufffd', body)
    strange = b'NaN' in whole or b'Infinity' in whole
    return _NO_NUMBERS.sub(lambda found: found[1] or b'null', whole) if strange else whole


def conversation(raw: msgspec.Raw) -> Read | None:
    """One conversation; None where it is not understood, or holds nothing."""
    try:
        data = msgspec.json.decode(raw)
        found = next(reader(data) for fits, reader in _READERS if fits(data))
    except (StopIteration, RecursionError, msgspec.DecodeError):
        return None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, binascii.Error):
        return None
    if not found.messages or len(found.messages) > MOST_MESSAGES:
        return None
    if len({each.id for each in found.messages}) < len(found.messages):
        return None
    return found if all(len(each.content) <= MOST_CHARS for each in found.messages) else None


# one reader for each format


def _of_ours(data: dict[str, Any]) -> Read:
    read = _begun('corral', data['id'], data['title'], data['created_at'], data['updated_at'])
    read.model, read.priority = _whole(str(data.get('model', ''))), _level(data.get('priority'))
    read.options = msgspec.json.encode(dict(data.get('options') or {})).decode()
    read.folder, read.shown = _whole(str(data.get('folder', ''))), str(data.get('shown', ''))
    read.pinned, read.archived = bool(data.get('pinned')), bool(data.get('archived'))
    read.files = {str(name): base64.b64decode(text, validate=True) for name, text in data.get('files', {}).items()}
    for each in data['messages']:
        user = each['role'] == 'user'
        state = each.get('state', '')
        message = _message(each['id'], each['role'], str(each['content']), each.get('created_at'), each.get('model'))
        message.parent = '' if each.get('parent', ROOT) == ROOT else str(each['parent'])
        message.thinking, message.priority = _whole(str(each.get('thinking', ''))), _level(each.get('priority'))
        message.state = '' if user else state if state in _STATES else 'cancelled'  # what ran there does not run here
        message.code, message.detail = (_whole(str(each.get(name, ''))) for name in ('code', 'detail'))
        message.stats = msgspec.convert(each.get('stats') or {}, Stats)
        extras = msgspec.convert(each.get('extras') or {}, Extras)
        files = tuple(_checked(file, read.files[file.id]) for file in extras.files if file.id in read.files)
        message.extras = msgspec.structs.replace(extras, files=files, beside='')
        read.messages.append(message)
    return read


def _checked(file: File, data: bytes) -> File:
    """What a file is, its bytes say."""
    kind = next((kind for start, kind in _PICTURES if data.startswith(start)), 'text/plain')
    width, height = (min(max(each, 0), 20_000) if kind != 'text/plain' else 0 for each in (file.width, file.height))
    name = ' '.join(file.name.split())[:TITLE_CHARS]
    return File(id=file.id, name=name, media_type=kind, size=len(data), width=width, height=height)


def _of_open_webui(data: dict[str, Any]) -> Read:
    chat = data['chat']
    began = data.get('created_at') or chat.get('timestamp')
    title = data.get('title') or chat.get('title')
    read = _begun('open-webui', data.get('id') or chat.get('id'), title, began, data.get('updated_at') or began)
    read.pinned, read.archived = bool(data.get('pinned')), bool(data.get('archived'))
    history = chat.get('history') or {}
    messages = history.get('messages')
    if messages:
        nodes = {str(name): (each.get('parentId'), each) for name, each in messages.items()}
    else:  # old ones have a plain list
        listed = chat['messages']
        before = [None, *(str(each.get('id', place)) for place, each in enumerate(listed))]
        nodes = {str(each.get('id', place)): (before[place], each) for place, each in enumerate(listed)}
    for name, parent, each in _kept(nodes, lambda each: each.get('role') in ('user', 'assistant')):
        model = each.get('model') or next(iter(each.get('models') or chat.get('models') or []), '')
        message = _message(name, each['role'], _plain(each.get('content')), each.get('timestamp'), model)
        message.parent = parent
        read.messages.append(message)
    read.shown = str(history.get('currentId') or '')
    return read


def _of_chatgpt(data: dict[str, Any]) -> Read:
    name = data.get('conversation_id') or data.get('id')
    read = _begun('chatgpt', name, data.get('title'), data.get('create_time'), data.get('update_time'))
    read.archived = bool(data.get('is_archived'))
    nodes = {str(each): (node.get('parent'), node.get('message') or {}) for each, node in data['mapping'].items()}

    def said(message: dict[str, Any]) -> bool:
        hidden = (message.get('metadata') or {}).get('is_visually_hidden_from_conversation')
        role = (message.get('author') or {}).get('role')
        return role in ('user', 'assistant') and not hidden and bool(_parts(message.get('content')).strip())

    for each, parent, message in _kept(nodes, said):
        model = (message.get('metadata') or {}).get('model_slug') or data.get('default_model_slug')
        role = message['author']['role']
        made = _message(each, role, _parts(message['content']), message.get('create_time'), model)
        made.parent = parent
        read.messages.append(made)
    read.shown = _nearest(nodes, str(data.get('current_node') or ''), {each.id for each in read.messages})
    return read


def _of_claude(data: dict[str, Any]) -> Read:
    read = _begun('claude', data['uuid'], data.get('name'), data.get('created_at'), data.get('updated_at'))
    before = ''
    for each in data['chat_messages']:
        role = 'user' if each['sender'] == 'human' else 'assistant'
        text = _plain(each.get('text')) or _plain(each.get('content'))
        if text.strip():
            message = _message(each['uuid'], role, text, each.get('created_at'), '')
            message.parent, before = before, message.id
            read.messages.append(message)
    return read


_READERS = (
    (lambda data: isinstance(data, dict) and 'messages' in data and 'updated_at' in data and 'id' in data, _of_ours),
    (lambda data: isinstance(data, dict) and isinstance(data.get('chat'), dict), _of_open_webui),
    (lambda data: isinstance(data, dict) and isinstance(data.get('mapping'), dict), _of_chatgpt),
    (lambda data: isinstance(data, dict) and isinstance(data.get('chat_messages'), list), _of_claude),
)


# what they share


def _begun(source: str, name: Any, title: Any, created_at: Any, updated_at: Any) -> Read:
    if not name:
        raise ValueError('a conversation without an id')
    began = _seconds(created_at)
    title = _whole(' '.join(str(title or '').split())[:TITLE_CHARS])
    return Read(source, str(name), title, began, max(began, _seconds(updated_at)) if updated_at else began)


def _message(name: Any, role: str, content: str, at: Any, model: Any) -> Message:
    if role not in ('user', 'assistant'):
        raise ValueError(role)
    state = '' if role == 'user' else 'completed'
    made_at = _seconds(at) if at else 0.0
    return Message(
        id=str(name),
        conversation_id='',
        role=role,
        content=_whole(content),
        state=state,
        model=_whole(str(model or '')),
        created_at=made_at,
    )


def _whole(text: str) -> str:
    """Halves of characters can be in JSON, and in no file."""
    return text.encode('utf-8', 'replace').decode()


def _level(priority: Any) -> int:
    """A priority that there is."""
    return priority if isinstance(priority, int) and AUTO_PRIORITY <= priority <= MAX_PRIORITY else DEFAULT_PRIORITY


def _seconds(at: Any) -> float:
    """A time as unix seconds, from seconds, milli- or nanoseconds, or ISO 8601."""
    if isinstance(at, str):
        return datetime.fromisoformat(at.replace('Z', '+00:00')).timestamp()
    seconds = float(at)
    for _ in ('milli', 'micro', 'nano'):
        seconds = seconds / 1000 if seconds > 1e11 else seconds
    if not 0 <= seconds < 1e11:
        raise ValueError('a time beyond all measure')
    return seconds


def _plain(content: Any) -> str:
    """The words of a content that may be a text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return '\n\n'.join(str(each['text']) for each in parts if isinstance(each, dict) and each.get('text'))


def _parts(content: Any) -> str:
    if not isinstance(content, dict) or content.get('content_type') not in ('text', 'multimodal_text', 'code'):
        return ''
    if content['content_type'] == 'code':
        return f'```\n{content.get("text", "")}\n```'
    return '\n\n'.join(each for each in content.get('parts') or [] if isinstance(each, str) and each)


def _kept(nodes: dict[str, tuple[Any, dict[str, Any]]], wanted: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The nodes that are wanted, parents first, each with the nearest one above it that is wanted, too."""
    children: dict[str, list[str]] = {}
    roots = []
    for name, (parent, _) in nodes.items():
        children.setdefault(str(parent), []).append(name) if parent and str(parent) in nodes else roots.append(name)
    waiting = [(name, '') for name in reversed(roots)]
    while waiting:
        name, above = waiting.pop()
        message = nodes[name][1]
        if wanted(message):
            yield name, above, message
            above = name
        waiting += [(child, above) for child in reversed(children.get(name, []))]


def _nearest(nodes: dict[str, tuple[Any, dict[str, Any]]], name: str, known: set[str]) -> str:
    """This node, or the first one above it that was kept."""
    for _ in range(len(nodes)):
        if name in known or name not in nodes:
            return name if name in known else ''
        name = str(nodes[name][0] or '')
    return ''
