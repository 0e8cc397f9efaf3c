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

Result = TypeVar('Result')

# One entry per schema version, never edited once released.
MIGRATIONS = (
    """
    CREATE TABLE conversations (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
        model TEXT NOT NULL, priority INTEGER NOT NULL, deleted_at REAL NOT NULL DEFAULT 0
    );
    CREATE TABLE messages (
        id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, ordinal INTEGER NOT NULL, role TEXT NOT NULL,
        content TEXT NOT NULL, thinking TEXT NOT NULL, job_id TEXT NOT NULL, state TEXT NOT NULL,
        model TEXT NOT NULL, priority INTEGER NOT NULL, stats TEXT NOT NULL, code TEXT NOT NULL,
        detail TEXT NOT NULL, created_at REAL NOT NULL
    );
    CREATE UNIQUE INDEX messages_order ON messages (conversation_id, ordinal);
    CREATE INDEX messages_open ON messages (state) WHERE state IN ('pending', 'unsent');
    """,
    """
    ALTER TABLE conversations ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN user TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
    ALTER TABLE conversations ADD COLUMN notes TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN notes TEXT NOT NULL DEFAULT '';
    CREATE INDEX conversations_of_user ON conversations (origin, user, created_at);
    CREATE INDEX messages_of_job ON messages (job_id) WHERE job_id != '';
    """,
    """
    CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, tag TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX records_name ON records (kind, name);
    """,
    """
    ALTER TABLE messages ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN extras TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE conversations ADD COLUMN shown TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE files (
        id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, name TEXT NOT NULL, media_type TEXT NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, created_at REAL NOT NULL, data BLOB NOT NULL
    );
    CREATE INDEX files_of_conversation ON files (conversation_id);
    CREATE TABLE next_messages (
        id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, place INTEGER NOT NULL, after TEXT NOT NULL,
        content TEXT NOT NULL, model TEXT NOT NULL, priority INTEGER NOT NULL, files TEXT NOT NULL,
        created_at REAL NOT NULL
    );
    CREATE INDEX next_messages_of ON next_messages (conversation_id, place);
    """,
    # The shelf (``shelf.py``) and the index of what was said (``shelf_search.py``). Triggers keep that in step, whoever
    # changes a message. It has every three characters; with two more at the end the last one, too, begins such a three.
    # What leaves the table leaves the index's pages.
    """
    CREATE TABLE folders (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE TABLE placements (
        conversation_id TEXT PRIMARY KEY, folder_id TEXT NOT NULL, pinned_at REAL NOT NULL, archived_at REAL NOT NULL
    );
    CREATE TRIGGER placements_gone AFTER DELETE ON conversations BEGIN
        DELETE FROM placements WHERE conversation_id = old.id;
    END;
    CREATE TABLE searched (number INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE);
    CREATE VIEW searchable AS
        SELECT s.number AS number, m.content || char(10, 10) AS content
        FROM searched s JOIN messages m ON m.id = s.message_id WHERE m.content != '';
    CREATE VIRTUAL TABLE found USING fts5 (
        content, content = 'searchable', content_rowid = 'number', tokenize = 'trigram'
    );
    INSERT INTO found (found, rank) VALUES ('secure-delete', 1);
    INSERT INTO searched (message_id) SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id
        WHERE c.origin = '' ORDER BY m.created_at, m.rowid;
    INSERT INTO found (rowid, content) SELECT number, content FROM searchable;
    CREATE TRIGGER searched_new AFTER INSERT ON messages
        WHEN (SELECT origin FROM conversations WHERE id = new.conversation_id) = '' BEGIN
        INSERT INTO searched (message_id) VALUES (new.id);
        INSERT INTO found (rowid, content)
            SELECT number, new.content || char(10, 10) FROM searched
            WHERE message_id = new.id AND new.content != '';
    END;
    CREATE TRIGGER searched_changed AFTER UPDATE OF content ON messages WHEN old.content IS NOT new.content BEGIN
        INSERT INTO found (found, rowid, content)
            SELECT 'delete', number, old.content || char(10, 10) FROM searched
            WHERE message_id = old.id AND old.content != '';
        INSERT INTO found (rowid, content)
            SELECT number, new.content || char(10, 10) FROM searched
            WHERE message_id = new.id AND new.content != '';
    END;
    CREATE TRIGGER searched_gone AFTER DELETE ON messages BEGIN
        INSERT INTO found (found, rowid, content)
            SELECT 'delete', number, old.content || char(10, 10) FROM searched
            WHERE message_id = old.id AND old.content != '';
        DELETE FROM searched WHERE message_id = old.id;
    END;
    """,
)


DRAFT_S = 7 * 86_400.0  # so long what was attached to a message waits for it to be sent
API = 'api'  # the origin of conversations that programs make


class DeskError(Exception):
    """``desk.db`` cannot be used; the text says why and what to do."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer took, in seconds and tokens; zero where unknown."""

    waited_s: float = 0.0
    first_token_s: float = 0.0
    tokens_per_s: float = 0.0
    ran_s: float = 0.0
    prompt_s: float = 0.0
    load_s: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    starts: int = 0
    losses: int = 0
    truncated: bool = False
    worker: str = ''
    done_reason: str = ''


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was attached to a question; the bytes are in the table ``files``. A picture has a size in pixels."""

    id: str
    name: str
    media_type: str
    size: int
    width: int = 0
    height: int = 0

    @property
    def picture(self) -> bool:
        """Whether it is one; else it is a text."""
        return self.media_type.startswith('image/')


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model wanted to be called; the arguments are JSON."""

    name: str
    arguments: str


class Extras(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What only some messages have. ``kept`` is the text that a continued answer goes on from, ``beside`` the other
    one of two answers that are being compared."""

    files: tuple[File, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    thought_s: float = 0.0
    kept: str = ''
    kept_thinking: str = ''
    beside: str = ''


class Conversation(msgspec.Struct, kw_only=True):
    """A conversation's header; ``model`` and ``priority`` are those used last.

    ``shown`` is the last message of the branch that is shown ('': the newest), ``options`` what the model is asked to
    observe, as JSON (``chat_options``).

    ``origin`` is '' for those of the chat page and API for those of programs, which have a ``user`` and a ``state`` of
    their own; ``notes`` is JSON that a program wants kept.
    """

    id: str
    title: str
    created_at: float
    updated_at: float
    model: str
    priority: int
    origin: str = ''
    user: str = ''
    state: str = 'active'
    notes: str = ''
    shown: str = ''
    options: str = '{}'


ROOT = 'root'


class Message(msgspec.Struct, kw_only=True):
    """One message. ``state`` is '' for a user's; else pending, completed, cancelled, dead or unsent.

    ``parent`` is the message that it follows: '' is the one stored before it, ``ROOT`` is none.
    """

    id: str
    conversation_id: str
    role: str
    content: str = ''
    thinking: str = ''
    job_id: str = ''
    state: str = ''
    model: str = ''
    priority: int = 5
    stats: Stats = Stats()
    code: str = ''
    detail: str = ''
    created_at: float = 0.0
    notes: str = ''
    parent: str = ''
    extras: Extras = Extras()


_MESSAGE = (
    'id, conversation_id, role, content, thinking, job_id, state, model, priority, stats, code, detail, created_at, '
    'notes, parent, extras'
)
_HEADER = 'id, title, created_at, updated_at, model, priority, origin, user, state, notes, shown, options'


Exchange = tuple[Message, Message]  # a question and its answer
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
