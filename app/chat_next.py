"""Messages that wait until the answer before them is there, in their order; they outlive a restart."""

from typing import Any

import apsw
import msgspec

from app.chat_refusal import ChatError
from app.desk import Desk, File

MOST = 20  # of one conversation
_COLUMNS = 'id, conversation_id, after, content, model, priority, files, created_at'


class Next(msgspec.Struct, kw_only=True):
    """A message that is sent when the answer ``after`` is complete."""

    id: str
    conversation_id: str
    after: str
    content: str
    model: str
    priority: int
    files: tuple[File, ...] = ()
    created_at: float = 0.0


class NextMessages:
    """All of them; every change is on disk before it counts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines: dict[str, list[Next]] = {}

    async def load(self) -> list[str]:
        """Read what was left by the last run; the conversations that have some."""

        def read(db: apsw.Connection) -> list[Any]:
            db.execute('DELETE FROM next_messages WHERE id IN (SELECT id FROM messages)').fetchall()  # sent already
            return db.execute(f'SELECT {_COLUMNS} FROM next_messages ORDER BY conversation_id, place').fetchall()

        for row in await self._desk.run(read):
            fields = dict(zip(_COLUMNS.split(', '), row, strict=True))
            files = msgspec.json.decode(fields['files'], type=tuple[File, ...])
            self._lines.setdefault(fields['conversation_id'], []).append(Next(**{**fields, 'files': files}))
        return list(self._lines)

    def of(self, conversation_id: str) -> list[Next]:
        """Those of a conversation, the next one first."""
        return list(self._lines.get(conversation_id, ()))

    async def add(self, message: Next) -> None:
        """One more at the end."""
        line = self.of(message.conversation_id)
        if len(line) >= MOST:
            raise ChatError('too_many', limit=MOST)
        await self._put(message.conversation_id, [*line, message])

    async def edit(self, conversation_id: str, message_id: str, content: str) -> None:
        """Another text for one of them."""
        line = [
            msgspec.structs.replace(each, content=content) if each.id == message_id else each
            for each in self.of(conversation_id)
        ]
        await self._put(conversation_id, line)

    async def move(self, conversation_id: str, message_id: str, step: int) -> None:
        """So many places down (or up, below 0)."""
        line = self.of(conversation_id)
        place = next((at for at, each in enumerate(line) if each.id == message_id), None)
        if place is not None:
            line.insert(min(max(place + step, 0), len(line) - 1), line.pop(place))
            await self._put(conversation_id, line)

    async def drop(self, conversation_id: str, message_id: str) -> None:
        """Remove one."""
        await self._put(conversation_id, [each for each in self.of(conversation_id) if each.id != message_id])

    async def follow(self, conversation_id: str, after: str) -> None:
        """They wait for this answer now."""
        line = [msgspec.structs.replace(each, after=after) for each in self.of(conversation_id)]
        await self._put(conversation_id, line)

    async def _put(self, conversation_id: str, line: list[Next]) -> None:
        def write(db: apsw.Connection) -> None:
            with db:
                db.execute('DELETE FROM next_messages WHERE conversation_id = ?', (conversation_id,))
                for place, each in enumerate(line):
                    values = (*msgspec.structs.astuple(each)[:6], msgspec.json.encode(each.files).decode())
                    db.execute(
                        f'INSERT INTO next_messages ({_COLUMNS}, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                        (*values, each.created_at, place),
                    )

        await self._desk.run(write)
        self._lines[conversation_id] = line
