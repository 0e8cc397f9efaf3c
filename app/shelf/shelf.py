"""Where the conversations of the chat page stand: in folders, pinned to the top, put away; what a list shows of them.

One order for all pages: a list asks for the few rows that it shows, however many there are.
"""

import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import apsw
import msgspec

from app.chats.chat import ChatService
from app.listeners import Listeners, Unsubscribe
from app.messages import Conversation
from broker.client import new_job_id

ALL, ARCHIVE = '', 'archive'  # the lists besides those of the folders, which have their ids
MOST_FOLDERS = 200
NAME_CHARS = 80
SECTIONS = ('today', 'yesterday', 'week', 'earlier')


class ShelfError(Exception):
    """The wish cannot be granted. ``code`` is 'too_many_folders' or 'gone'."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Folder(msgspec.Struct, frozen=True):
    """A conversation is in one folder or in none."""

    id: str
    name: str
    created_at: float


class Placement(msgspec.Struct, frozen=True):
    """Where a conversation stands; times are unix seconds, 0 where it is not so."""

    folder: str = ''
    pinned_at: float = 0.0
    archived_at: float = 0.0


NOWHERE = Placement()


class Shelf:
    """Folders and places of conversations, for all pages; ``on_change`` tells when a list may look otherwise."""

    def __init__(self, chat: ChatService) -> None:
        self._chat = chat
        self._folders: dict[str, Folder] = {}
        self._placements: dict[str, Placement] = {}
        self._dropped: dict[str, tuple[Folder, list[str]]] = {}  # folders that can still be taken back
        self._orders: dict[str, _Order] = {}
        self._changed = Listeners()
        self._stop_listening: Unsubscribe = lambda: None

    @classmethod
    async def open(cls, chat: ChatService) -> Self:
        """Read what was kept. Raises ``desk.DeskError``."""
        shelf = cls(chat)

        def read(db: apsw.Connection) -> tuple[list[Any], list[Any]]:
            folders = db.execute('SELECT id, name, created_at FROM folders').fetchall()
            return folders, db.execute('SELECT * FROM placements').fetchall()

        folders, placements = await chat.desk.run(read)
        shelf._folders = {row[0]: Folder(*row) for row in folders}
        for conversation_id, folder, pinned_at, archived_at in placements:
            known = folder if folder in shelf._folders else ''  # the desk may have ended while a folder was removed
            shelf._placements[conversation_id] = Placement(known, pinned_at, archived_at)
        shelf._stop_listening = chat.on_change(shelf._moved)
        return shelf

    def close(self) -> None:
        """Hear no more of the conversations."""
        self._stop_listening()

    def on_change(self, callback: Any) -> Unsubscribe:
        """Call back after the order, a title, a place or a folder has changed."""
        return self._changed.add(callback)

    # what lists show

    def folders(self) -> list[tuple[Folder, int]]:
        """All of them by name, with the number of their conversations."""
        return [(folder, self.count(folder.id)) for folder in sorted(self._folders.values(), key=_by_name)]

    def folder(self, folder_id: str) -> Folder | None:
        """One of them."""
        return self._folders.get(folder_id)

    def folder_named(self, name: str) -> Folder | None:
        """The one of this name, in whatever case."""
        wanted = _tidy(name).casefold()
        return next((each for each in self._folders.values() if each.name.casefold() == wanted), None)

    def place_of(self, conversation_id: str) -> Placement:
        """Where a conversation stands."""
        return self._placements.get(conversation_id, NOWHERE)

    def count(self, scope: str) -> int:
        """How many conversations a list has."""
        return len(self._order(scope).rows)

    def position(self, scope: str, conversation_id: str) -> int:
        """At which place of a list a conversation stands, -1 where it does not."""
        return self._order(scope).at.get(conversation_id, -1)

    def rows(self, scope: str, first: int, count: int) -> list[Conversation]:
        """A part of a list: the pinned ones, then the others, newest first."""
        return self._order(scope).rows[max(0, first) : max(0, first) + count]

    def sections(self, scope: str, days: Sequence[float]) -> list[list[Any]]:
        """What a list is divided into: names and sizes. ``days``: when today, yesterday and the last week began."""
        order = self._order(scope)
        ends = [0, *(bisect_right(order.ages, -began) for began in days), len(order.ages)]
        parts = [
            ['pinned', order.pinned],
            *([name, to - of] for name, (of, to) in zip(SECTIONS, pairwise(ends), strict=True)),
        ]
        return [[name, size] for name, size in parts if size > 0]

    # what people do

    async def pin(self, conversation_id: str, on: bool) -> None:
        """Keep a conversation at the top, or no more. What was put away comes back for it."""
        place = self.place_of(conversation_id)
        changed = Placement(place.folder, time.time() if on else 0.0, 0.0 if on else place.archived_at)
        await self._place({conversation_id: changed})

    async def archive(self, conversation_id: str, on: bool) -> None:
        """Put a conversation away, or take it back."""
        place = self.place_of(conversation_id)
        changed = Placement(place.folder, 0.0 if on else place.pinned_at, time.time() if on else 0.0)
        await self._place({conversation_id: changed})

    async def move(self, conversation_id: str, folder_id: str) -> None:
        """Put a conversation into a folder, '' for none. Raises ``ShelfError`` when the folder is gone."""
        if folder_id and folder_id not in self._folders:
            raise ShelfError('gone')
        place = self.place_of(conversation_id)
        await self._place({conversation_id: Placement(folder_id, place.pinned_at, 0.0)})

    async def place(self, placements: dict[str, Placement]) -> None:
        """Put conversations where they stood elsewhere."""
        await self._place(placements)

    async def add_folder(self, name: str) -> Folder | None:
        """A new one, or the one that is called so already; None for an empty name. Raises ``ShelfError``."""
        name = _tidy(name)
        if not name or (known := self.folder_named(name)) is not None:
            return known if name else None
        if len(self._folders) >= MOST_FOLDERS:
            raise ShelfError('too_many_folders')
        folder = Folder(new_job_id(), name, time.time())
        await self._write('INSERT INTO folders VALUES (?, ?, ?)', [msgspec.structs.astuple(folder)])
        self._folders[folder.id] = folder
        self._tell()
        return folder

    async def rename_folder(self, folder_id: str, name: str) -> None:
        """Call a folder otherwise; an empty name, or one that another has, changes nothing."""
        folder, name = self._folders.get(folder_id), _tidy(name)
        namesake = self.folder_named(name)
        if folder is not None and name and (namesake is None or namesake.id == folder_id):
            await self._write('UPDATE folders SET name = ? WHERE id = ?', [(name, folder_id)])
            self._folders[folder_id] = msgspec.structs.replace(folder, name=name)
            self._tell()

    async def drop_folder(self, folder_id: str) -> None:
        """Take a folder away; its conversations stay. ``restore_folder`` takes that back until the next start."""
        folder = self._folders.get(folder_id)
        if folder is None:
            return
        members = [each for each, place in self._placements.items() if place.folder == folder_id]
        await self._write('DELETE FROM folders WHERE id = ?', [(folder_id,)])
        self._dropped[folder_id] = (self._folders.pop(folder_id), members)
        await self._place({each: self._in_folder(each, '') for each in members})

    async def restore_folder(self, folder_id: str) -> None:
        """Take the end of a folder back, with what was in it and has no other folder since."""
        folder, members = self._dropped.pop(folder_id, (None, []))
        if folder is None or self.folder_named(folder.name) is not None:
            return
        await self._write('INSERT INTO folders VALUES (?, ?, ?)', [msgspec.structs.astuple(folder)])
        self._folders[folder_id] = folder
        await self._place(
            {each: self._in_folder(each, folder_id) for each in members if not self.place_of(each).folder}
        )

    # inside

    def _in_folder(self, conversation_id: str, folder_id: str) -> Placement:
        return msgspec.structs.replace(self.place_of(conversation_id), folder=folder_id)

    async def _place(self, changed: dict[str, Placement]) -> None:
        rows = [(each, *msgspec.structs.astuple(place)) for each, place in changed.items()]
        await self._write('INSERT OR REPLACE INTO placements VALUES (?, ?, ?, ?)', rows)
        self._placements.update(changed)
        self._tell()

    async def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        def write(db: apsw.Connection) -> None:
            with db:
                db.executemany(statement, rows)

        await self._chat.desk.run(write)

    def _order(self, scope: str) -> '_Order':
        if not self._orders:
            self._orders = self._sorted()
        return self._orders.get(scope, _NOTHING)

    def _sorted(self) -> dict[str, '_Order']:
        lists: dict[str, tuple[list[Conversation], list[Conversation]]] = {ALL: ([], [])}
        for each in self._chat.conversations():
            place = self.place_of(each.id)
            for scope in _scopes(place):
                lists.setdefault(scope, ([], []))[not place.pinned_at].append(each)
        for pinned, _ in lists.values():
            pinned.sort(key=lambda each: -self.place_of(each.id).pinned_at)
        return {scope: _Order(*parts) for scope, parts in lists.items()}

    def _moved(self, _: str) -> None:
        self._tell()

    def _tell(self) -> None:
        self._orders.clear()
        self._changed.call()


class _Order:
    def __init__(self, pinned: list[Conversation], others: list[Conversation]) -> None:
        self.rows = [*pinned, *others]
        self.pinned = len(pinned)
        self.ages = [-each.updated_at for each in others]
        self.at = {each.id: at for at, each in enumerate(self.rows)}


_NOTHING = _Order([], [])


def _scopes(place: Placement) -> set[str]:
    """The lists that a conversation is in: what is pinned is at the top of the first one, too."""
    if place.archived_at:
        return {ARCHIVE}
    return {place.folder, ALL} if place.pinned_at else {place.folder}


def _tidy(name: str) -> str:
    return ' '.join(name.split())[:NAME_CHARS].rstrip()


def _by_name(folder: Folder) -> tuple[str, float]:
    return folder.name.casefold(), folder.created_at
