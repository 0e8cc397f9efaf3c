"""The desk's own database: conversations and their messages, in ``desk.db``.

SQLite through apsw, on one thread of its own, so that no page waits for the disk.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw
import msgspec

from app.desk_schema import MIGRATIONS
from app.messages import API, Conversation, Exchange, Extras, Message, Stats

Result = TypeVar('Result')

DRAFT_S = 7 * 86_400.0  # so long what was attached to a message waits for it to be sent


class DeskError(Exception):
    """``desk.db`` cannot be used; the text says why and what to do."""


_MESSAGE = (
    'id, conversation_id, role, content, thinking, job_id, state, model, priority, stats, code, detail, created_at, '
    'notes, parent, extras'
)
_HEADER = 'id, title, created_at, updated_at, model, priority, origin, user, state, notes, shown, options'


MOST_EXCHANGES = 1000
_EXCHANGES = (
    f'SELECT {", ".join(f"{table}.{name}" for table in "qa" for name in _MESSAGE.split(", "))} FROM messages a '
    'JOIN conversations c ON c.id = a.conversation_id '
    'JOIN messages q ON q.conversation_id = a.conversation_id AND q.ordinal = a.ordinal - 1'
)


class Desk:
    """The database. Open it with ``await Desk.open(path)``; raises ``DeskError`` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix='desk-db')

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create ``path``; what was deleted before is gone for good from here on."""
        desk = cls(path)
        try:
            await desk._do(desk._open)
        except DeskError:
            desk._thread.shutdown()
            raise
        return desk

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self._do(self._db.close)
        self._thread.shutdown()

    async def conversations(self) -> list[Conversation]:
        """Those of the chat page that are not deleted, newest first."""
        query = f"SELECT {_HEADER} FROM conversations WHERE origin = '' AND deleted_at = 0 ORDER BY updated_at DESC"
        return await self._do(lambda: [_conversation(row) for row in self._db.execute(query)])

    async def messages(self, conversation_id: str) -> list[Message]:
        """The messages of a conversation in order."""
        query = f'SELECT {_MESSAGE} FROM messages WHERE conversation_id = ? ORDER BY ordinal'
        return await self._do(lambda: [_message(row) for row in self._db.execute(query, (conversation_id,))])

    async def open_messages(self) -> list[Message]:
        """Answers on the chat page that are not known to have ended, oldest first."""
        query = f"""SELECT {_MESSAGE} FROM messages WHERE state IN ('pending', 'unsent') AND conversation_id IN
                    (SELECT id FROM conversations WHERE origin = '' AND deleted_at = 0) ORDER BY created_at"""
        return await self._do(lambda: [_message(row) for row in self._db.execute(query)])

    async def put(self, conversation: Conversation, *messages: Message) -> None:
        """Store a header and new messages, all or nothing."""
        await self.put_all([(conversation, messages)])

    async def put_all(self, whole: Iterable[tuple[Conversation, Iterable[Message]]]) -> None:
        """Store several headers with new messages, all or nothing."""

        def write() -> None:
            with self._db:
                for conversation, messages in whole:
                    self._put(conversation, messages)

        await self._do(write)

    async def change(self, message: Message, *, only_job: str = '') -> bool:
        """Store a changed message; with ``only_job`` only while it still belongs to that job. Whether it did."""

        def write() -> bool:
            _, _, *fields = _values(message)
            names = _MESSAGE.split(', ')[2:]
            with self._db:
                self._db.execute(
                    f'UPDATE messages SET {", ".join(f"{name} = ?" for name in names)} '
                    "WHERE id = ? AND (? = '' OR job_id = ?)",
                    (*fields, message.id, only_job, only_job),
                )
                done = self._db.changes() > 0
            return done

        return await self._do(write)

    async def set_deleted(self, conversation_id: str, at: float) -> None:
        """Mark a conversation as deleted at this time; 0 takes that back."""

        def write() -> None:
            self._db.execute('UPDATE conversations SET deleted_at = ? WHERE id = ?', (at, conversation_id))

        await self._do(write)

    # what programs keep here

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """One of a program, unless it is deleted."""
        query = f'SELECT {_HEADER} FROM conversations WHERE id = ? AND origin = ? AND deleted_at = 0'
        found = await self._do(lambda: list(self._db.execute(query, (conversation_id, API))))
        return _conversation(found[0]) if found else None

    async def conversations_of_programs(
        self, *, user: str = '', state: str = '', limit: int = 20, offset: int = 0, newest_first: bool = True
    ) -> tuple[list[tuple[Conversation, int]], int]:
        """A page of those that programs made, each with the number of its messages, and how many there are in all."""
        where = "origin = ? AND deleted_at = 0 AND (? IN ('', user)) AND (? IN ('', state))"
        counted = '(SELECT count(*) FROM messages WHERE conversation_id = conversations.id)'
        query = f"""SELECT {_HEADER}, {counted} FROM conversations WHERE {where}
                    ORDER BY created_at {'DESC' if newest_first else 'ASC'}, id LIMIT ? OFFSET ?"""
        values = (API, user, state)

        def read() -> tuple[list[tuple[Conversation, int]], int]:
            rows: list[tuple[Any, ...]] = list(self._db.execute(query, (*values, limit, offset)))
            total: Any = next(self._db.execute(f'SELECT count(*) FROM conversations WHERE {where}', values))[0]
            return [(_conversation(row[:-1]), row[-1]) for row in rows], total

        return await self._do(read)

    async def exchange(self, job_id: str) -> Exchange | None:
        """The question of a program that became this job, with its answer."""
        query = f"{_EXCHANGES} WHERE c.origin = ? AND a.role = 'assistant' AND a.job_id = ?"
        found = await self._do(lambda: list(self._db.execute(query, (API, job_id))))
        return _exchange(found[0]) if found else None

    async def exchanges(
        self, *, user: str = '', conversation_id: str = '', states: Iterable[str] = ()
    ) -> list[Exchange]:
        """What programs asked, newest first, ``MOST_EXCHANGES`` at most; empty filters let everything through."""
        wanted = tuple(states)
        among = f'AND a.state IN ({", ".join("?" * len(wanted))})' if wanted else ''
        query = f"""{_EXCHANGES} WHERE c.origin = ? AND c.deleted_at = 0 AND a.role = 'assistant'
                    AND (? IN ('', c.user)) AND (? IN ('', c.id)) {among}
                    ORDER BY a.created_at DESC, a.id DESC LIMIT {MOST_EXCHANGES}"""
        values = (API, user, conversation_id, *wanted)
        return await self._do(lambda: [_exchange(row) for row in self._db.execute(query, values)])

    async def drop_exchange(self, exchange: Exchange) -> None:
        """Remove a question and its answer for good."""

        def write() -> None:
            with self._db:
                self._db.execute('DELETE FROM messages WHERE id IN (?, ?)', tuple(each.id for each in exchange))

        await self._do(write)

    async def run(self, work: Callable[[apsw.Connection], Result]) -> Result:
        """Do something of the other modules that keep their tables here."""
        return await self._do(lambda: work(self._db))

    async def _do(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except apsw.FullError as error:
            raise DeskError(f'the disk that holds {self._path} is full') from error
        except apsw.Error as error:
            raise DeskError(f'{self._path} cannot be used: {error}. Restore a copy of it, or move it away.') from error

    def _put(self, conversation: Conversation, messages: Iterable[Message]) -> None:
        self._db.execute(
            f'INSERT INTO conversations ({_HEADER}) VALUES ({", ".join("?" * len(_HEADER.split(", ")))}) '
            'ON CONFLICT (id) DO UPDATE SET title = excluded.title, updated_at = excluded.updated_at, '
            'model = excluded.model, priority = excluded.priority, state = excluded.state, '
            'notes = excluded.notes, shown = excluded.shown, options = excluded.options',
            msgspec.structs.astuple(conversation),
        )
        for message in messages:
            values = _values(message)
            self._db.execute(
                f'INSERT INTO messages ({_MESSAGE}, ordinal) VALUES ({", ".join("?" * len(values))}, (SELECT '
                'coalesce(max(ordinal), 0) + 1 FROM messages WHERE conversation_id = ?))',
                (*values, message.conversation_id),
            )

    def _open(self) -> None:
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = apsw.Connection(str(self._path))
        except (OSError, apsw.Error) as error:
            raise DeskError(f'{self._path} cannot be opened: {getattr(error, "strerror", error)}') from error
        try:
            for pragma in ('journal_mode = WAL', 'synchronous = FULL', 'secure_delete = ON'):
                self._db.execute(f'PRAGMA {pragma}').fetchall()
            self._migrate()
            self._purge()
        except (DeskError, apsw.Error):
            self._db.close(True)
            raise

    def _migrate(self) -> None:
        version: Any = self._db.execute('PRAGMA user_version').fetchall()[0][0]
        if version > len(MIGRATIONS):
            raise DeskError(
                f'{self._path} was written by a newer Corral (schema {version}, this one knows {len(MIGRATIONS)}); '
                'start the newer version, or choose another --data-dir.'
            )
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            with self._db:
                self._db.execute(f'{statements}; PRAGMA user_version = {number}').fetchall()

    def _purge(self) -> None:
        with self._db:
            self._db.execute(
                'DELETE FROM messages WHERE conversation_id IN (SELECT id FROM conversations WHERE deleted_at > 0)'
            )
            self._db.execute('DELETE FROM conversations WHERE deleted_at > 0')
            gone = 'conversation_id NOT IN (SELECT id FROM conversations)'
            self._db.execute(f'DELETE FROM next_messages WHERE {gone}')
            # what was attached to a message that is still being written belongs to no conversation yet
            self._db.execute(
                f"DELETE FROM files WHERE {gone} AND (conversation_id != '' OR created_at < ?)",
                (time.time() - DRAFT_S,),
            )


def problem_with(path: Path) -> str:
    """Why ``path`` cannot be used, '' when it can."""
    try:
        asyncio.run(_try(path))
    except DeskError as error:
        return str(error)
    return ''


async def _try(path: Path) -> None:
    await (await Desk.open(path)).close()


def _values(message: Message) -> tuple[Any, ...]:
    fields = {name: getattr(message, name) for name in _MESSAGE.split(', ')}
    texts = {name: msgspec.json.encode(fields[name]).decode() for name in ('stats', 'extras')}
    return tuple({**fields, **texts}.values())


def _message(row: tuple[Any, ...]) -> Message:
    fields = dict(zip(_MESSAGE.split(', '), row, strict=True))
    stats = msgspec.json.decode(fields['stats'], type=Stats)
    return Message(**{**fields, 'stats': stats, 'extras': msgspec.json.decode(fields['extras'], type=Extras)})


def _exchange(row: tuple[Any, ...]) -> Exchange:
    return _message(row[: len(row) // 2]), _message(row[len(row) // 2 :])


def _conversation(row: tuple[Any, ...]) -> Conversation:
    return Conversation(**dict(zip(_HEADER.split(', '), row, strict=True)))
