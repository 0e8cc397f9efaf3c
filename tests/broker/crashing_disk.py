"""A disk in memory, as a SQLite VFS, that can lose power at any moment.

What was not synced by then is dropped, torn at sector borders, or survives in any order; what was synced is there.
"""

import itertools
import random
from collections.abc import Callable

import apsw

SECTOR = 512


class PowerLoss(apsw.IOError):
    """The machine is off."""


class _File:
    """What the disk has for certain, and the writes it has only heard of."""

    def __init__(self, content: bytes = b'') -> None:
        self.durable = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []  # (offset, data) or (new size, None)
        self.view = bytearray(content)

    def write(self, offset: int, data: bytes | None) -> None:
        self.pending.append((offset, data))
        _apply(self.view, offset, data)

    def sync(self) -> None:
        self.durable, self.pending = bytearray(self.view), []


class Disk:
    """Files by name, and a count of the operations until the power goes."""

    def __init__(
        self,
        files: dict[str, bytes] | None = None,
        power_for: int | None = None,
        before_each: Callable[['Disk'], object] | None = None,
    ) -> None:
        """``before_each`` is called before each operation, when the disk is as if the power went there."""
        self.files = {name: _File(content) for name, content in (files or {}).items()}
        self.power_for = power_for
        self.before_each = before_each
        self.operations = 0
        self.name = f'disk-{next(_numbers)}'
        self._vfs = _Vfs(self)

    @property
    def off(self) -> bool:
        """Whether the power is gone."""
        return self.power_for is not None and self.operations >= self.power_for

    def step(self) -> None:
        """One write or sync; raises PowerLoss when it is the one that does not happen, and for ever after."""
        if self.off:
            raise PowerLoss
        if self.before_each is not None:
            self.before_each(self)
        self.operations += 1

    def survivors(self, chance: random.Random) -> dict[str, bytes]:
        """What a restarted machine finds."""
        found = {}
        for name, file in self.files.items():
            content = bytearray(file.durable)
            for offset, data in _what_reached_the_platter(file.pending, chance):
                _apply(content, offset, data)
            found[name] = bytes(content)
        return found

    def close(self) -> None:
        """Take the VFS away from SQLite."""
        self._vfs.unregister()


_numbers = itertools.count()


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _what_reached_the_platter(
    pending: list[tuple[int, bytes | None]], chance: random.Random
) -> list[tuple[int, bytes | None]]:
    kept: list[tuple[int, bytes | None]] = []
    for offset, data in pending:
        if data is None:
            kept += [(offset, None)] if chance.random() < 0.5 else []
            continue
        for start in range(0, len(data), SECTOR):
            if chance.random() < 0.5:
                kept.append((offset + start, data[start : start + SECTOR]))
    if chance.random() < 0.5:
        chance.shuffle(kept)
    return kept


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__(disk.name, '')

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> '_Handle':
        flags[1] = flags[0]
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        return _Handle(self.disk, self.disk.files.setdefault(path, _File()))

    def xAccess(self, path: str, flags: int) -> bool:
        return path in self.disk.files

    def xDelete(self, path: str, sync_dir: bool) -> None:
        if not self.disk.off:  # SQLite deletes while it tidies up, where nobody would catch an exception
            self.disk.step()
            self.disk.files.pop(path, None)

    def xFullPathname(self, name: str) -> str:
        return name


class _Handle:
    """An open file, with the methods that apsw asks for."""

    def __init__(self, disk: Disk, file: _File) -> None:
        self.disk, self.file = disk, file

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self.file.view[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.step()
        self.file.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self.disk.step()
        self.file.write(size, None)

    def xSync(self, flags: int) -> None:
        self.disk.step()
        self.file.sync()

    def xFileSize(self) -> int:
        return len(self.file.view)

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        pass
