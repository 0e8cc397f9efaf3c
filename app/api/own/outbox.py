"""Webhooks and the messages for them, in ``webhooks.db``, so that a restart loses none and repeats none unasked.

SQLite through apsw on one thread of its own, as the desk's own database.
"""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw
import msgspec

Result = TypeVar('Result')
KEEP_ENDED = 200  # messages of each webhook that were delivered or given up, for the operator
MAX_PENDING = 10_000  # of each webhook: one that is so far behind is switched off
OVERFLOW = f'more than {MAX_PENDING} messages could not be delivered'

# One entry per schema version, never edited once released.
MIGRATIONS = (
    """
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY, url TEXT NOT NULL, events TEXT NOT NULL, secret TEXT NOT NULL, enabled INTEGER NOT NULL,
        reason TEXT NOT NULL, created_at REAL NOT NULL, after_seq INTEGER NOT NULL
    );
    CREATE TABLE messages (
        id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, seq INTEGER NOT NULL, event TEXT NOT NULL, body BLOB NOT NULL,
        state TEXT NOT NULL, tries INTEGER NOT NULL, next_at REAL NOT NULL, status INTEGER NOT NULL,
        detail TEXT NOT NULL, created_at REAL NOT NULL, ended_at REAL NOT NULL
    );
    CREATE INDEX messages_due ON messages (webhook_id, next_at) WHERE state = 'pending';
    CREATE INDEX messages_ended ON messages (webhook_id, seq) WHERE state <> 'pending';
    CREATE TABLE progress (seq INTEGER NOT NULL);
    INSERT INTO progress VALUES (0);
    """,
)


class OutboxError(Exception):
    """``webhooks.db`` cannot be used; the text says why. ``full``: because the disk is."""

    def __init__(self, why: str, *, full: bool = False) -> None:
        super().__init__(why)
        self.full = full


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where facts are told. ``events`` are names of facts, or ``*`` for all; ``reason`` is why it was switched off."""

    id: str
    url: str
    events: tuple[str, ...]
    secret: str
    enabled: bool = True
    reason: str = ''
    created_at: float = 0.0
    after_seq: int = 0  # it hears of facts behind this one

    def hears(self, name: str, seq: int) -> bool:
        """Whether it is to be told of this fact."""
        return self.enabled and seq > self.after_seq and ('*' in self.events or name in self.events)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One fact for one webhook. ``state`` is pending, delivered or failed."""

    id: str
    webhook_id: str
    seq: int
    event: str
    body: bytes
    state: str = 'pending'
    tries: int = 0
    next_at: float = 0.0
    status: int = 0  # of the last answer, 0 for none
    detail: str = ''
    created_at: float = 0.0
    ended_at: float = 0.0


_HOOK = ', '.join(Webhook.__struct_fields__)
_MESSAGE = ', '.join(Message.__struct_fields__)


class Outbox:
    """The database. Open it with ``await Outbox.open(path)``; raises ``OutboxError`` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix='webhooks-db')

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create ``path``."""
        box = cls(path)
        try:
            await box._do(box._open)
        except OutboxError:
            box._thread.shutdown()
            raise
        return box

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self._do(self._db.close)
        self._thread.shutdown()

    async def webhooks(self) -> list[Webhook]:
        """All, oldest first."""
        query = f'SELECT {_HOOK} FROM webhooks ORDER BY created_at, id'
        return await self._do(lambda: [_webhook(row) for row in self._db.execute(query)])

    async def put(self, hook: Webhook) -> None:
        """Make or replace a webhook."""
        fields = msgspec.structs.asdict(hook) | {'events': json.dumps(hook.events), 'enabled': int(hook.enabled)}
        marks = ', '.join('?' * len(fields))
        await self._write(lambda: self._db.execute(f'REPLACE INTO webhooks VALUES ({marks})', tuple(fields.values())))

    async def remove(self, webhook_id: str) -> None:
        """It is gone, with its messages."""

        def write() -> None:
            self._db.execute('DELETE FROM messages WHERE webhook_id = ?', (webhook_id,))
            self._db.execute('DELETE FROM webhooks WHERE id = ?', (webhook_id,))

        await self._write(write)

    async def switch_off(self, webhook_id: str, reason: str, now: float) -> None:
        """It gets nothing any more, and what it was to get is given up."""

        def write() -> None:
            self._db.execute('UPDATE webhooks SET enabled = 0, reason = ? WHERE id = ?', (reason, webhook_id))
            self._db.execute(
                "UPDATE messages SET state = 'failed', detail = ?, ended_at = ? "
                "WHERE webhook_id = ? AND state = 'pending'",
                (reason, now, webhook_id),
            )

        await self._write(write)

    async def progress(self) -> int:
        """Facts up to this one are dealt with."""
        return int(await self._do(lambda: self._one('SELECT seq FROM progress')))

    async def add(self, messages: Sequence[Message], seq: int) -> None:
        """Messages to be sent; facts up to ``seq`` are dealt with. All or nothing."""

        def write() -> None:
            for message in messages:
                values = msgspec.structs.astuple(message)
                marks = ', '.join('?' * len(values))
                self._db.execute(f'INSERT OR IGNORE INTO messages VALUES ({marks})', values)
            self._db.execute('UPDATE progress SET seq = ?', (seq,))

        await self._write(write)

    async def due(self, webhook_id: str, now: float, limit: int) -> list[Message]:
        """Messages to be sent by now, oldest first."""
        query = f"""SELECT {_MESSAGE} FROM messages WHERE webhook_id = ? AND state = 'pending' AND next_at <= ?
                    ORDER BY next_at, seq LIMIT ?"""
        return await self._do(lambda: [_message(row) for row in self._db.execute(query, (webhook_id, now, limit))])

    async def next_at(self, webhook_id: str) -> float:
        """When the next message is to be sent; 0 without any."""
        query = "SELECT min(next_at) FROM messages WHERE webhook_id = ? AND state = 'pending'"
        return float(await self._do(lambda: self._one(query, webhook_id)) or 0.0)

    async def pending(self, webhook_id: str) -> int:
        """How many messages wait."""
        query = "SELECT count(*) FROM messages WHERE webhook_id = ? AND state = 'pending'"
        return int(await self._do(lambda: self._one(query, webhook_id)))

    async def tried(self, message: Message) -> None:
        """What became of a try; a message that is not pending any more (its webhook was removed) stays so."""

        def write() -> None:
            self._db.execute(
                "UPDATE messages SET state = ?, tries = ?, next_at = ?, status = ?, detail = ?, ended_at = ? "
                "WHERE id = ? AND state = 'pending'",
                (
                    message.state, message.tries, message.next_at, message.status, message.detail, message.ended_at,
                    message.id,
                ),
            )  # fmt: skip
            if message.state != 'pending':
                self._db.execute(
                    'DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE webhook_id = ? AND '
                    "state <> 'pending' ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                    (message.webhook_id, KEEP_ENDED),
                )

        await self._write(write)

    async def recent(self, webhook_id: str, limit: int) -> list[Message]:
        """Messages of a webhook, newest first."""
        query = f'SELECT {_MESSAGE} FROM messages WHERE webhook_id = ? ORDER BY seq DESC LIMIT ?'
        return await self._do(lambda: [_message(row) for row in self._db.execute(query, (webhook_id, limit))])

    def _one(self, query: str, *values: str) -> Any:
        return self._db.execute(query, values).fetchall()[0][0]

    async def _write(self, work: Callable[[], object]) -> None:
        def write() -> None:
            with self._db:
                work()

        await self._do(write)

    async def _do(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except apsw.FullError as error:
            raise OutboxError(f'the disk that holds {self._path} is full', full=True) from error
        except apsw.Error as error:
            raise OutboxError(
                f'{self._path} cannot be used: {error}. Restore a copy of it, or move it away.'
            ) from error

    def _open(self) -> None:
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = apsw.Connection(str(self._path))
        except (OSError, apsw.Error) as error:
            raise OutboxError(f'{self._path} cannot be opened: {getattr(error, "strerror", error)}') from error
        try:
            for pragma in ('journal_mode = WAL', 'synchronous = FULL', 'secure_delete = ON'):
                self._db.execute(f'PRAGMA {pragma}').fetchall()
            version: Any = self._db.execute('PRAGMA user_version').fetchall()[0][0]
            if version > len(MIGRATIONS):
                raise OutboxError(f'{self._path} was written by a newer Corral; start the newer version')
            for number, statements in enumerate(MIGRATIONS[version:], version + 1):
                with self._db:
                    self._db.execute(f'{statements}; PRAGMA user_version = {number}').fetchall()
        except (OutboxError, apsw.Error):
            self._db.close(True)
            raise


def _webhook(row: tuple[Any, ...]) -> Webhook:
    fields = dict(zip(Webhook.__struct_fields__, row, strict=True))
    return Webhook(**{**fields, 'events': tuple(json.loads(fields['events'])), 'enabled': bool(fields['enabled'])})


def _message(row: tuple[Any, ...]) -> Message:
    return Message(**dict(zip(Message.__struct_fields__, row, strict=True)))
