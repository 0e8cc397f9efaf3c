"""Pictures and texts that people attach to their questions; their bytes are in ``desk.db``."""

import os
import shutil
import time
from collections.abc import Iterable
from typing import Any

import apsw

from app.chats.chat_refusal import ChatError
from app.desk import DRAFT_S, Desk, DeskError
from app.messages import File
from broker.client import new_job_id
from broker.errors import KEPT_FREE_BYTES

MOST_PICTURE_BYTES = 2_600_000  # in base64 it has to fit into one request
MOST_TEXT_BYTES = 200_000
MOST_FILES = 8  # of one message
MOST_PICTURES_BYTES = 2_800_000  # of one message
MOST_PIXELS = 20_000
MOST_BYTES = 5_000_000_000  # of all together
UNDO_S = 60.0  # so long a conversation that was deleted can be taken back
_KINDS = ((b'\x89PNG\r\n\x1a\n', 'image/png'), (b'\xff\xd8\xff', 'image/jpeg'))
_COLUMNS = 'id, name, media_type, length(data), width, height'


class Attachments:
    """What was attached. Raises ``ChatError`` for what cannot be taken."""

    def __init__(self, desk: Desk, *, most_bytes: int = MOST_BYTES) -> None:
        self._desk = desk
        self._most_bytes = most_bytes

    async def add(self, name: str, data: bytes, *, width: int = 0, height: int = 0) -> File:
        """Keep a file until the message is sent that it is attached to. Texts are kept as UTF-8."""
        if not data:
            raise ChatError('file_empty')
        media_type = next((kind for start, kind in _KINDS if data.startswith(start)), 'text/plain')
        limit = MOST_TEXT_BYTES if media_type == 'text/plain' else MOST_PICTURE_BYTES
        if len(data) > limit:
            raise ChatError('file_large', size=len(data), limit=limit)
        if media_type == 'text/plain':
            data, width, height = _text(data), 0, 0
        file = File(
            id=new_job_id(),
            name=_name(name),
            media_type=media_type,
            size=len(data),
            width=min(max(width, 0), MOST_PIXELS),
            height=min(max(height, 0), MOST_PIXELS),
        )

        await self.make_room(len(data))

        def write(db: apsw.Connection) -> None:
            values = (file.id, '', file.name, media_type, file.width, file.height, time.time(), data)
            db.execute(f'INSERT INTO files VALUES ({", ".join("?" * len(values))})', values)

        await self._desk.run(write)
        return file

    async def make_room(self, size: int) -> None:
        """Let go of what nobody will send any more. Raises ``ChatError`` where there is no room for so many bytes, and
        ``DeskError`` where the disk is full: some of it is kept for what runs.
        """

        def count(db: apsw.Connection) -> int:
            now = time.time()
            drafts = "conversation_id = '' AND created_at < ?"
            deleted = 'conversation_id IN (SELECT id FROM conversations WHERE deleted_at > 0 AND deleted_at < ?)'
            for forgotten, before in ((drafts, now - DRAFT_S), (deleted, now - UNDO_S)):
                db.execute(f'DELETE FROM files WHERE {forgotten}', (before,)).fetchall()
            if shutil.disk_usage(os.path.dirname(db.filename)).free - size < KEPT_FREE_BYTES:
                raise DeskError('the disk of the desk is full')
            found: Any = db.execute('SELECT coalesce(sum(length(data)), 0) FROM files').fetchall()[0][0]
            return int(found)

        if await self._desk.run(count) + size > self._most_bytes:
            raise ChatError('file_room', limit=self._most_bytes)

    async def claim(self, ids: Iterable[str], conversation_id: str) -> tuple[File, ...]:
        """The files of these ids, which belong to the conversation from now on."""
        wanted = list(dict.fromkeys(ids))
        if len(wanted) > MOST_FILES:
            raise ChatError('too_many', limit=MOST_FILES)
        if not wanted:
            return ()
        marks = ', '.join('?' * len(wanted))

        def write(db: apsw.Connection) -> list[Any]:
            query = f"SELECT {_COLUMNS} FROM files WHERE id IN ({marks}) AND conversation_id IN ('', ?)"
            return db.execute(query, (*wanted, conversation_id)).fetchall()

        found = {file.id: file for file in map(_file, await self._desk.run(write))}
        if len(found) < len(wanted):
            raise ChatError('file_gone')
        if sum(file.size for file in found.values() if file.picture) > MOST_PICTURES_BYTES:
            raise ChatError('files_large')
        await self._desk.run(
            lambda db: db.execute(
                f'UPDATE files SET conversation_id = ? WHERE id IN ({marks})', (conversation_id, *wanted)
            ).fetchall()
        )
        return tuple(found[each] for each in wanted)

    async def read(self, files: Iterable[File]) -> dict[str, bytes]:
        """The bytes of those that are still there, by id."""
        ids = [file.id for file in files]
        if not ids:
            return {}
        query = f'SELECT id, data FROM files WHERE id IN ({", ".join("?" * len(ids))})'
        rows: list[Any] = await self._desk.run(lambda db: db.execute(query, ids).fetchall())
        return dict(rows)

    async def one(self, file_id: str) -> tuple[File, bytes] | None:
        """A file with its bytes."""
        query = f'SELECT {_COLUMNS}, data FROM files WHERE id = ?'
        rows: list[Any] = await self._desk.run(lambda db: db.execute(query, (file_id,)).fetchall())
        return (_file(rows[0][:-1]), rows[0][-1]) if rows else None


def _file(row: tuple[Any, ...]) -> File:
    file_id, name, media_type, size, width, height = row
    return File(id=file_id, name=name, media_type=media_type, size=size, width=width, height=height)


def _name(name: str) -> str:
    kept = ''.join(c for c in name.replace('\\', '/').rsplit('/', 1)[-1] if c.isprintable() and c not in '`')
    return kept.strip()[:120] or 'file'


def _text(data: bytes) -> bytes:
    """The text in UTF-8, out of what people's editors write; raises ``ChatError`` for what is none."""
    encodings = ('utf-16',) if data[:2] in (b'\xff\xfe', b'\xfe\xff') else ('utf-8-sig', 'gb18030')
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if not any(c < ' ' and c not in '\t\n\r\f\x1b' for c in text):
            return text.replace('\r\n', '\n').encode()
    raise ChatError('file_kind')
