"""The data directory: made private, checked, and held by one Corral at a time.

The children inherit the locked file, so the lock lasts until the last of them is gone, even when we are killed.
"""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

LOCK = 'corral.lock'
ENDPOINTS = Path('run', 'endpoints.json')
# How the names of what we keep begin.
OURS = ('corral', 'queue.db', 'desk.db', 'analytics.duckdb', 'files', 'logs', 'run', 'machines.json', 'joined')
ENDING_S = 12.0  # the processes of a Corral that was killed end within this
LOCKED_BYTE = 4096  # Windows locks bytes against reading, so the locked one is behind the text


class DataDirError(Exception):
    """The data directory cannot be used. The message is one sentence for the user."""


class Holder(NamedTuple):
    """The Corral that holds a data directory. ``url`` is '' until it is ready."""

    pid: int
    url: str
    endpoints_json: str  # where its broker is and the keys to it, without the broker's own; '' until they are chosen


def holder(path: Path) -> Holder | None:
    """Who holds this data directory now, None for nobody. It only reads: a lock, even for a moment, could stop a start.

    Raises ``DataDirError`` where the directory is not ours to read.
    """
    try:
        fields = json.loads((path / LOCK).read_bytes()[:4000] or b'{}')
        pid = fields.get('pid') if isinstance(fields, dict) else None
        if not isinstance(pid, int) or pid <= 0 or not _alive(pid):
            return None
        return Holder(pid, str(fields.get('url', '')), (path / ENDPOINTS).read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise DataDirError(f'{error.filename} cannot be read: {(error.strerror or str(error)).lower()}.') from None


class Held:
    """A data directory that is ours until ``release``."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    def inherited(self) -> tuple[int, ...]:
        """The file descriptors that children are to inherit."""
        return (self._file,) if os.name == 'posix' else ()

    def note(self, **fields: object) -> None:
        """Write down who holds it, for others to read: ``note(pid=1, url='http://…')``."""
        data = json.dumps(fields).encode()
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, data)  # over what is there, which needs no room on a full disk
        os.ftruncate(self._file, len(data))

    def write_pids(self, pids: Mapping[str, int]) -> None:
        """Keep ``run/processes.json``: the process ids by name, ``run`` being ours; a full disk keeps the old one."""
        with contextlib.suppress(OSError):
            self._write(self.path / 'run' / 'processes.json', json.dumps({'run': os.getpid(), **pids}))

    def write_endpoints(self, endpoints_json: str) -> None:
        """Tell the commands of the same user where the broker is, in ``run/endpoints.json`` (0600).

        Raises ``DataDirError``.
        """
        try:
            self._write(self.path / ENDPOINTS, endpoints_json)
        except OSError as error:
            raise DataDirError(_unusable(self.path, error)) from None

    def _write(self, file: Path, text: str) -> None:
        new = file.with_suffix('.new')
        new.touch(mode=0o600)
        new.write_text(text, encoding='utf-8')
        os.replace(new, file)

    def release(self) -> None:
        """Let others have it."""
        with contextlib.suppress(OSError):  # keys of a Corral that is gone open nothing
            (self.path / ENDPOINTS).unlink()
        os.ftruncate(self._file, 0)
        os.close(self._file)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[Held]:
    """Make the directory where it is missing (0700) and keep every other Corral out of it. Raises ``DataDirError``."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirError(_unusable(path, error)) from None
    if not _locked(file):
        text = _holder(file)
        os.close(file)
        raise DataDirError(f'{path} is in use by {text}. Stop it or choose another --data-dir.')
    held = Held(path, file)
    try:
        _make_private(path)
        held.note(pid=os.getpid())
    except OSError as error:
        held.release()
        raise DataDirError(_unusable(path, error)) from None
    try:
        yield held
    finally:
        held.release()


def _make_private(path: Path) -> None:
    if os.name == 'posix' and all(entry.name.startswith(OURS) for entry in path.iterdir()):
        path.chmod(0o700)  # a folder that others use, too, keeps its mode; what we write is private either way
    for folder in (path / 'logs', path / 'run'):
        folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryFile(dir=path) as probe:
        probe.write(b'x' * 4096)


def _unusable(path: Path, error: OSError) -> str:
    why = (error.strerror or str(error)).lower()
    return f'The data directory {path} cannot be written to: {why}. Change that or choose another --data-dir.'


def _locked(file: int) -> bool:
    """Take the lock. Where its holder was killed, wait for its children, who end by themselves."""
    deadline = time.monotonic() + ENDING_S
    while True:
        try:
            _lock(file)
            return True
        except OSError:
            if _alive(_read(file).get('pid')) or time.monotonic() > deadline:
                return False
        time.sleep(0.05)


def _holder(file: int) -> str:
    fields = _read(file)
    url = f', {fields["url"]}' if fields.get('url') else ''
    return f'Corral (pid {fields["pid"]}{url})' if 'pid' in fields else 'another Corral'


def _read(file: int) -> dict[str, Any]:
    try:
        os.lseek(file, 0, os.SEEK_SET)
        fields = json.loads(os.read(file, 4000))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _alive(pid: object) -> bool:
    """Whether the holder runs; taken for granted where that cannot be asked without harm."""
    if os.name != 'posix' or not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if os.name == 'posix':
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

else:
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
