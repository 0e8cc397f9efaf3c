"""Conversations from elsewhere, put onto the shelf; what their files say is read in ``shelf_read``.

What cannot be read of a file is counted. Importing the same file twice gives nothing new, since an imported
conversation's id comes from the one that it had.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import msgspec

from app.chats.chat import ChatService
from app.chats.chat_refusal import ChatError
from app.messages import ROOT, Conversation, Message
from app.shelf import shelf_read
from app.shelf.shelf import Placement, Shelf, ShelfError
from app.shelf.shelf_read import Read
from broker.client import new_job_id

MOST_BYTES = 64 * 1024 * 1024  # of a file
MOST_CONVERSATIONS = 20_000
AT_ONCE = 100  # conversations that are read and stored together,
AT_ONCE_BYTES = 1_000_000  # or fewer, when they are long: so long what others store waits for it
_OURS = re.compile('[0-9a-f]{32}')


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


class Importer:
    """Puts conversations into ``chat`` and onto ``shelf``."""

    def __init__(self, chat: ChatService, shelf: Shelf) -> None:
        self._chat = chat
        self._shelf = shelf

    async def take(self, body: bytes | memoryview, tell: Callable[[float], None] = lambda share: None) -> Told:
        """Store what is in a file, a part after the other, and ``tell`` after each what share of it is done.

        Raises ``ImportRefused``, and ``desk.DeskError``.
        """
        raws = await asyncio.to_thread(_split, body)
        told = Told()
        size, done = sum(memoryview(raw).nbytes for raw in raws), 0
        for part in _parts(raws):
            found = await asyncio.to_thread(lambda part: [shelf_read.conversation(raw) for raw in part], part)
            told.broken += found.count(None)
            await self._store([each for each in found if each is not None], told)
            done += sum(memoryview(raw).nbytes for raw in part)
            tell(done / size)
        if told.broken and not told.done and not told.known:
            raise ImportRefused('unknown')
        return told

    async def _store(self, found: list[Read], told: Told) -> None:
        ids = {_id(each): each for each in found}
        told.known += len(found) - len(ids)
        here = await self._chat.desk.run(lambda db: _stored(db, list(ids)))
        fresh: list[tuple[str, Read]] = []
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

    async def _place(self, fresh: list[tuple[str, Read]]) -> None:
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


def _split(body: bytes | memoryview) -> list[msgspec.Raw]:
    if body[:4] == b'PK\x03\x04':
        raise ImportRefused('zip')
    try:
        raws = shelf_read.split(body)
    except ValueError:
        raise ImportRefused('broken') from None
    if not raws or len(raws) > MOST_CONVERSATIONS:
        raise ImportRefused('unknown')
    return raws


def _parts(raws: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    part: list[msgspec.Raw] = []
    size = 0
    for raw in raws:
        part.append(raw)
        size += memoryview(raw).nbytes
        if len(part) >= AT_ONCE or size >= AT_ONCE_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _id(read: Read) -> str:
    if read.source == 'corral' and _OURS.fullmatch(read.id):
        return read.id
    return hashlib.blake2b(f'{read.source} {read.id}'.encode('utf-8', 'replace'), digest_size=16).hexdigest()


def _within(conversation_id: str, name: str) -> str:
    """The id of a message or a file in this conversation."""
    return hashlib.blake2b(f'{conversation_id} {name}'.encode('utf-8', 'replace'), digest_size=16).hexdigest()


def _made(name: str, read: Read) -> tuple[Conversation, list[Message]]:
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


def _keep_files(db: apsw.Connection, fresh: list[tuple[str, Read]]) -> None:
    with db:
        for name, read in fresh:
            for file in {each.id: each for message in read.messages for each in message.extras.files}.values():
                if (data := read.files.get(file.id)) is not None:
                    values = (_within(name, file.id), name, file.name, file.media_type, file.width, file.height)
                    db.execute('INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)', (*values, read.created_at, data))
