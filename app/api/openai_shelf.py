"""What OpenAI's door keeps: files, whose bytes are in a folder of their own, and records of batches and responses."""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from app.api.trouble import TOO_LONG, Trouble
from app.desk import Desk, DeskError
from app.records import Records
from broker.client import new_job_id
from broker.errors import KEPT_FREE_BYTES

FILE = 'file'  # of records
KEPT_S = 30 * 86400  # how long files stay where nobody wished otherwise, as at OpenAI
CHUNK = 1024 * 1024
_PART = '.part'  # of names of files that are being written

T = TypeVar('T')
log = logging.getLogger(__name__)


class File(msgspec.Struct, kw_only=True):
    """A file as the API shows it; times are unix seconds."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None
    object: str = 'file'
    status: str = 'processed'


class Shelf:
    """``open`` it once the desk's database is there. All methods raise ``Trouble``."""

    def __init__(self, folder: Path, *, max_file_bytes: int, max_uploads_bytes: int) -> None:
        self.max_file_bytes = max_file_bytes
        self.max_uploads_bytes = max_uploads_bytes
        self.used_bytes = 0  # by all files, those that are being written included
        self._folder = folder
        self._records: Records | None = None
        self.in_use: set[str] = set()  # files that must stay

    async def open(self, desk: Desk) -> None:
        """From now on there is a database. What a crash left half written is removed."""
        self._records = Records(desk)
        kept = await self._every()
        self.used_bytes = sum(file.bytes for file in kept)
        await asyncio.to_thread(self._clear, {file.id for file in kept})
        await self.expire()

    def close(self) -> None:
        """There is no database any more."""
        self._records = None

    async def expire(self) -> None:
        """Remove the files whose time is over."""
        for file in await self._every():
            if _over(file) and file.id not in self.in_use:
                await self.drop(file.id)

    # files

    async def make_room(self, size: int) -> None:
        """Raise ``Trouble`` where so many bytes more have no room, though what is out of date goes first."""
        if self.used_bytes + size > self.max_uploads_bytes:
            await self.expire()
        if self.used_bytes + size > self.max_uploads_bytes:
            most = f'{self.max_uploads_bytes / 1_000_000:,.0f} MB'
            text = f'All files here may have {most} together, and this does not fit; delete some, then send it again.'
            raise Trouble('storage_full', text, param='file')
        if size > await asyncio.to_thread(self._free):
            raise Trouble('disk_full', 'The disk of the desk has no room for this file; try again when there is some.')

    def draft(self, filename: str, purpose: str, *, name: str = '', kept_s: int = KEPT_S) -> 'Draft':
        """A new file, to be written; one with the same ``name`` is replaced."""
        now = int(time.time())
        name = name or f'file-{new_job_id()}'
        file = File(id=name, bytes=0, created_at=now, filename=filename[:255], purpose=purpose, expires_at=now + kept_s)
        return Draft(self, self._folder, file)

    async def file(self, name: str) -> File:
        """A file that is there."""
        found = await self.kept(FILE, name, File)
        if found is None or (_over(found) and name not in self.in_use):
            raise Trouble('not_found', f"The file '{name[:100]}' does not exist, or its time is over.", param='file_id')
        return found

    async def files(self, *, purpose: str, after: str, limit: int, newest_first: bool) -> tuple[list[File], bool]:
        """A page of them, and whether more follow."""
        found, more = await self.page(FILE, File, tag=purpose, after=after, limit=limit, newest_first=newest_first)
        return [file for file in found if not _over(file)], more

    def path(self, file: File) -> Path:
        """Where its bytes are."""
        return self._folder / file.id

    async def drop(self, name: str) -> None:
        """Remove a file: nobody finds it any more, and its bytes are gone."""
        found = await self.kept(FILE, name, File)
        await self.forget(FILE, name)
        self.used_bytes -= found.bytes if found is not None else 0
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread((self._folder / name).unlink)

    # records

    async def keep(self, kind: str, name: str, value: object, *, tag: str = '') -> None:
        """Store a record."""
        with _telling():
            await self._there.put(kind, name, msgspec.json.encode(value), tag=tag)

    async def kept(self, kind: str, name: str, shape: type[T]) -> T | None:
        """A record; None when there is none."""
        with _telling():
            data = await self._there.get(kind, name)
        return None if data is None else msgspec.json.decode(data, type=shape)

    async def page(
        self, kind: str, shape: type[T], *, tag: str = '', after: str = '', limit: int = 100, newest_first: bool = True
    ) -> tuple[list[T], bool]:
        """Some records, and whether more follow."""
        with _telling():
            found, more = await self._there.page(kind, tag=tag, after=after, limit=limit, newest_first=newest_first)
        return [msgspec.json.decode(data, type=shape) for data in found], more

    async def forget(self, kind: str, name: str) -> None:
        """Remove a record."""
        with _telling():
            await self._there.drop(kind, name)

    @property
    def _there(self) -> Records:
        if self._records is None:
            raise Trouble('broker_away', 'The desk is starting or stopping; try again soon.')
        return self._records

    async def _every(self) -> list[File]:
        found: list[File] = []
        more = True
        while more:
            part, more = await self.page(FILE, File, after=found[-1].id if found else '', limit=1000)
            found += part
        return found

    def _free(self) -> int:
        """Bytes of the disk that are not kept for the queue."""
        return shutil.disk_usage(self._folder if self._folder.is_dir() else self._folder.parent).free - KEPT_FREE_BYTES

    def _clear(self, known: set[str]) -> None:
        """Bytes without a record belong to nobody."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.startswith('file-') and path.name not in known:
                    path.unlink(missing_ok=True)


class Draft:
    """A file that is being written, for its user alone (0600). After ``finish`` it is there, as a whole."""

    def __init__(self, shelf: Shelf, folder: Path, file: File) -> None:
        self._shelf = shelf
        self._folder = folder
        self._file = file
        self._part = folder / (file.id + _PART)
        self._out: IO[bytes] | None = None
        self._waiting = bytearray()
        self._finished = False

    async def write(self, data: bytes) -> None:
        """More of it; most of it stays in memory until there is enough for the disk."""
        self._waiting += data
        if len(self._waiting) >= CHUNK:
            await self._flush()

    async def copy(self, source: IO[bytes]) -> None:
        """All that ``source`` has."""
        while data := await asyncio.to_thread(source.read, CHUNK):
            await self.write(data)

    async def finish(self) -> File:
        """It is complete."""
        await self._flush()
        with _telling():
            await asyncio.to_thread(self._close)
        before = await self._shelf.kept(FILE, self._file.id, File)  # of a batch whose output is written again
        await self._shelf.keep(FILE, self._file.id, self._file, tag=self._file.purpose)
        self._shelf.used_bytes -= before.bytes if before is not None else 0
        self._finished = True
        return self._file

    async def discard(self) -> None:
        """It is not wanted any more. After ``finish`` this changes nothing."""
        if self._out is not None:
            await asyncio.to_thread(self._out.close)
            self._out = None
        if not self._finished:
            self._finished = True
            self._shelf.used_bytes -= self._file.bytes
        await asyncio.to_thread(self._part.unlink, True)

    @property
    def empty(self) -> bool:
        """Whether nothing was written yet."""
        return not self._file.bytes and not self._waiting

    async def _flush(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        if self._file.purpose == 'batch':  # what a batch has brought about is kept in any case
            if self._file.bytes + len(data) > self._shelf.max_file_bytes:
                raise Trouble(TOO_LONG, f'A file may have {self._shelf.max_file_bytes // 1024 // 1024} MB at most.')
            await self._shelf.make_room(len(data))
        self._file.bytes += len(data)
        self._shelf.used_bytes += len(data)
        with _telling():
            await asyncio.to_thread(self._append, data)

    def _append(self, data: bytes) -> None:
        if self._out is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._out = os.fdopen(os.open(self._part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), 'wb')
        self._out.write(data)

    def _close(self) -> None:
        assert self._out is not None
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()
        self._out = None
        os.replace(self._part, self._folder / self._file.id)


def _over(file: File) -> bool:
    return file.expires_at is not None and file.expires_at <= time.time()


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """What the disk does not want, in words for a client."""
    try:
        yield
    except (DeskError, OSError) as failure:
        log.warning('%s', failure, extra={'action': 'shelf'})
        raise Trouble('disk_full', 'The desk cannot store this now; its disk may be full.') from None
