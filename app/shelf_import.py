"""Conversations from elsewhere: exports of this desk, of Open WebUI, of ChatGPT and of Claude, as JSON.

What is not understood of a file is left out; what cannot be read of it is counted. Importing the same file twice gives
nothing new, since an imported conversation's id comes from the one that it had.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import apsw
import msgspec

from app.chat import ChatService
from app.chat_refusal import ChatError
from app.desk import ROOT, Conversation, Extras, File, Message, Stats
from app.shelf import Placement, Shelf, ShelfError
from broker.client import new_job_id
from broker.job import AUTO_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY

MOST_BYTES = 64 * 1024 * 1024  # of a file
MOST_CONVERSATIONS = 20_000
MOST_MESSAGES = 10_000  # of a conversation
MOST_CHARS = 2_000_000  # of a message
AT_ONCE = 100  # conversations that are stored together
TITLE_CHARS = 200
_OURS = re.compile('[0-9a-f]{32}')
_PICTURES = ((b'\x89PNG\r\n\x1a\n', 'image/png'), (b'\xff\xd8\xff', 'image/jpeg'))
_STATES = ('completed', 'cancelled', 'dead')


class ImportRefused(Exception):
    """The file cannot be imported. ``code`` is 'broken' (no JSON), 'zip', 'unknown' (no conversations in it), or
    'room': its attached files do not fit beside those that are here.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Told(msgspec.Struct):
    """What became of the conversations of a file: stored, here already, not readable."""

    done: int = 0
    known: int = 0
    broken: int = 0


@dataclass
class _Read:
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


class Importer:
    """Puts conversations into ``chat`` and onto ``shelf``."""

    def __init__(self, chat: ChatService, shelf: Shelf) -> None:
        self._chat = chat
        self._shelf = shelf

    async def take(self, body: bytes) -> Told:
        """Store what is in a file. Raises ``ImportRefused``, and ``desk.DeskError``."""
        raws = await asyncio.to_thread(_split, body)
        told = Told()
        for start in range(0, len(raws), AT_ONCE):
            found = await asyncio.to_thread(lambda part: [_read(raw) for raw in part], raws[start : start + AT_ONCE])
            told.broken += found.count(None)
            await self._store([each for each in found if each is not None], told)
        if told.broken and not told.done and not told.known:
            raise ImportRefused('unknown')
        return told

    async def _store(self, found: list[_Read], told: Told) -> None:
        ids = {_id(each): each for each in found}
        told.known += len(found) - len(ids)
        here = await self._chat.desk.run(lambda db: _stored(db, list(ids)))
        fresh: list[tuple[str, _Read]] = []
        for name, each in ids.items():
            if self._chat.conversation(name) is not None:
                told.known += 1
            else:  # one that was deleted stays so until the next start
                fresh.append((new_job_id() if name in here else name, each))
        if not fresh:
            return
        try:
            await self._chat.attachments.make_room(sum(map(len, (d for _, each in fresh for d in each.files.values()))))
        except ChatError:
            raise ImportRefused('room') from None
        await self._chat.desk.run(lambda db: _keep_files(db, fresh))
        await self._chat.adopt([_made(name, each) for name, each in fresh])
        await self._place(fresh)
        told.done += len(fresh)

    async def _place(self, fresh: list[tuple[str, _Read]]) -> None:
        places: dict[str, Placement] = {}
        for name, each in fresh:
            folder = ''
            if each.folder:
                try:
                    known = await self._shelf.add_folder(each.folder)
                    folder = known.id if known is not None else ''
                except ShelfError:
                    folder = ''  # there are too many: it is in the list then
            if folder or each.pinned or each.archived:
                now = time.time()
                places[name] = Placement(folder, now * (each.pinned and not each.archived), now * each.archived)
        if places:
            await self._shelf.place(places)


def _split(body: bytes) -> list[Any]:
    """The conversations of a file, not yet read."""
    if body[:4] == b'PK\x03\x04':
        raise ImportRefused('zip')
    body = body.removeprefix(b'\xef\xbb\xbf')
    try:
        raws = _listed(body)
    except (ValueError, RecursionError):
        raise ImportRefused('broken') from None
    if not raws or len(raws) > MOST_CONVERSATIONS:
        raise ImportRefused('unknown')
    return raws


class _Envelope(msgspec.Struct):
    conversations: list[msgspec.Raw]


def _listed(body: bytes) -> list[Any]:
    for shape in (list[msgspec.Raw], _Envelope):
        try:
            found: Any = msgspec.json.decode(body, type=shape)
        except msgspec.ValidationError:
            continue
        except msgspec.DecodeError:
            break
        return found.conversations if isinstance(found, _Envelope) else found
    whole = _mended(body)
    found = whole.get('conversations', [whole]) if isinstance(whole, dict) else whole
    return found if isinstance(found, list) else []


def _mended(body: bytes) -> Any:
    """What is in JSON as some write it: with halves of characters, and with numbers that are none."""
    whole = json.loads(body, parse_constant=lambda _: None)
    return json.loads(json.dumps(whole, ensure_ascii=False, allow_nan=False).encode('utf-8', 'replace'))


def _read(raw: Any) -> _Read | None:
    """One conversation; None where it is not understood, or holds nothing."""
    try:
        data = msgspec.json.decode(raw) if isinstance(raw, msgspec.Raw) else raw
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


def _of_ours(data: dict[str, Any]) -> _Read:
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


def _of_open_webui(data: dict[str, Any]) -> _Read:
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


def _of_chatgpt(data: dict[str, Any]) -> _Read:
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


def _of_claude(data: dict[str, Any]) -> _Read:
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


def _begun(source: str, name: Any, title: Any, created_at: Any, updated_at: Any) -> _Read:
    if not name:
        raise ValueError('a conversation without an id')
    began = _seconds(created_at)
    title = _whole(' '.join(str(title or '').split())[:TITLE_CHARS])
    return _Read(source, str(name), title, began, max(began, _seconds(updated_at)) if updated_at else began)


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


# what is stored


def _id(read: _Read) -> str:
    if read.source == 'corral' and _OURS.fullmatch(read.id):
        return read.id
    return hashlib.blake2b(f'{read.source} {read.id}'.encode('utf-8', 'replace'), digest_size=16).hexdigest()


def _within(conversation_id: str, name: str) -> str:
    """The id of a message or a file in this conversation."""
    return hashlib.blake2b(f'{conversation_id} {name}'.encode('utf-8', 'replace'), digest_size=16).hexdigest()


def _made(name: str, read: _Read) -> tuple[Conversation, list[Message]]:
    known = {each.id for each in read.messages}
    answered = [each.model for each in read.messages if each.model]
    header = Conversation(
        id=name,
        title=read.title or ' '.join(read.messages[0].content.split())[:48] or read.source,
        created_at=read.created_at,
        updated_at=read.updated_at,
        model=read.model or (answered[-1] if answered else ''),
        priority=read.priority,
        shown=_within(name, read.shown) if read.shown in known else '',
        options=read.options,
    )
    for message in read.messages:
        message.parent = _within(name, message.parent) if message.parent in known else ROOT
        message.id, message.conversation_id = _within(name, message.id), name
        message.created_at = message.created_at or read.created_at
        files = tuple(msgspec.structs.replace(each, id=_within(name, each.id)) for each in message.extras.files)
        message.extras = msgspec.structs.replace(message.extras, files=files)
    return header, read.messages


def _stored(db: apsw.Connection, ids: list[str]) -> set[str]:
    marks = ', '.join('?' * len(ids))
    rows: list[Any] = db.execute(f'SELECT id FROM conversations WHERE id IN ({marks})', ids).fetchall()
    return {row[0] for row in rows}


def _keep_files(db: apsw.Connection, fresh: list[tuple[str, _Read]]) -> None:
    with db:
        for name, read in fresh:
            for file in {each.id: each for message in read.messages for each in message.extras.files}.values():
                if (data := read.files.get(file.id)) is not None:
                    values = (_within(name, file.id), name, file.name, file.media_type, file.width, file.height)
                    db.execute('INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)', (*values, read.created_at, data))
