"""What ``doctor`` looks at: each check gives findings, and each finding what to do about it."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from app.launching.data_dir import OURS
from app.options import ROOT

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'
LOW_BYTES, TOO_LOW_BYTES = 2_000_000_000, 200_000_000  # free on the disk
PATIENCE_S = 3.0  # for Ollama
LARGE_BYTES = 500_000_000  # a larger database is not read through unless that is wanted
_LOOPBACK = ('localhost', '::1')
_PIN = re.compile(r'^([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(;[^\\]*)?', re.M)


class Told(str):
    """A sentence in English that a page can say in its own language; a tuple among ``values`` is a list of parts."""

    msgid: str
    values: dict[str, object]

    def __new__(cls, msgid: str, **values: object) -> Self:
        told = super().__new__(cls, _filled(msgid, values, '; ') if values else msgid)
        told.msgid, told.values = msgid, values
        return told

    def said(self, tr: Callable[..., str], between: str) -> str:
        """The same by way of a catalogue; ``between`` goes between the parts of a list."""

        def say(value: object) -> object:
            if isinstance(value, tuple):
                return tuple(map(say, value))
            return value.said(tr, between) if isinstance(value, Told) else value

        return _filled(tr(self.msgid), {name: say(value) for name, value in self.values.items()}, between)


def _filled(text: str, values: dict[str, object], between: str) -> str:
    joined = {name: between.join(map(str, each)) if isinstance(each, tuple) else each for name, each in values.items()}
    return text.format(**joined) if values else text


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    state: str
    detail: str
    advice: str = ''


def python() -> Iterator[Finding]:
    """This Python."""
    version = '.'.join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036  somebody may have come here past run.py
        advice = Told('Corral needs 3.11 or newer: start run.py with a newer one.')
        yield Finding('Python', PROBLEM, version, advice)
    else:
        yield Finding('Python', OK, f'{version} ({sys.prefix})')


def packages(lock: Path = ROOT / 'requirements.txt') -> Iterator[Finding]:
    """The packages against the lock file."""
    wrong: list[Told] = []
    count = 0
    for name, wanted, marker in _PIN.findall(lock.read_text(encoding='utf-8')):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if not marker:  # others are for other systems
                wrong.append(Told('{name} is missing', name=name))
            continue
        count += 1
        if found != wanted:
            wrong.append(Told('{name} is {found} instead of {wanted}', name=name, found=found, wanted=wanted))
    if wrong:
        advice = Told('Remove .venv beside run.py and start Corral: it installs the locked packages anew.')
        shown = (*wrong[:5], *('…' for _ in wrong[5:6]))
        yield Finding(Told('packages'), PROBLEM, Told('{parts}', parts=shown), advice)
    else:
        yield Finding(Told('packages'), OK, Told('{n} as locked', n=count))


def folder(path: Path) -> Iterator[Finding]:
    """The data directory: is it there, ours, private, and is there room?"""
    here = Told('data directory')
    if not path.exists():
        parent = next(parent for parent in path.parents if parent.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            detail = Told('{path} cannot be made in {parent}', path=path, parent=parent)
            yield Finding(here, PROBLEM, detail, _whose(parent))
            return
        yield Finding(here, OK, Told('{path} is made on the first start', path=path))
        path = parent
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(here, PROBLEM, Told('{path} cannot be written to', path=path), _whose(path))
        return
    elif open_to_others := _open_to_others(path):
        names = ', '.join(str(each) for each in open_to_others[:3])
        advice = Told('Others on this machine can read it: chmod -R go-rwx {path}', path=path)
        yield Finding(here, PROBLEM, Told('{names} is not private', names=names), advice)
    else:
        yield Finding(here, OK, str(path))
    free = shutil.disk_usage(path).free
    state = PROBLEM if free < TOO_LOW_BYTES else WARNING if free < LOW_BYTES else OK
    remedy = '' if state == OK else Told('Free some space: without it new jobs are refused.')
    yield Finding(Told('disk'), state, Told('{size} free', size=f'{free / 1e9:.1f} GB'), remedy)


def databases(path: Path, *, thorough: bool, in_use: bool) -> Iterator[Finding]:
    """The queue and the conversations. One that a Corral has open is not touched: it answers for itself."""
    for name in ('queue.db', 'desk.db'):
        file = path / name
        if not file.exists():
            yield Finding(name, OK, Told('is made on the first start'))
        elif in_use:
            yield Finding(name, OK, Told('{size}, in use', size=_size(file)))
        elif file.stat().st_size > LARGE_BYTES and not thorough:
            yield Finding(name, OK, Told('{size}, not read through (--thorough does)', size=_size(file)))
        else:
            yield _database(file)


def ollama(url: str, engine: str) -> Iterator[Finding]:
    """Ollama and its models."""
    try:
        version = str(_get(f'{url}/api/version').get('version', 'of unknown version'))
        listed = _get(f'{url}/api/tags').get('models')
    except (OSError, ValueError) as error:
        state = PROBLEM if engine == 'ollama' else OK if engine == 'demo' else WARNING
        advice: str = Told('Start Ollama ("ollama serve"), or say where it is with --ollama-url.')
        if engine == 'auto':
            advice = Told('Until then the built-in demo answers. {advice}', advice=advice)
        detail = Told('{url} does not answer ({reason})', url=url, reason=_reason(error))
        yield Finding('Ollama', state, detail, advice if state != OK else '')
        return
    yield Finding('Ollama', OK, Told('{version} at {url}', version=version, url=url))
    models = listed if isinstance(listed, list) else []
    names = [str(each.get('name', '')) for each in models if isinstance(each, dict)]
    if names:
        shown = ', '.join(names[:5])
        many = Told('{names} and {n} more', names=shown, n=len(names) - 5)
        yield Finding(Told('models'), OK, many if len(names) > 5 else shown)
    else:
        advice = Told('Fetch one, for example with "ollama pull qwen3".')
        yield Finding(Told('models'), WARNING, Told('Ollama has none'), advice)


def place(url: str) -> str:
    """Host and port of an engine, as workers tell which one they use."""
    parts = urlsplit(url)
    host = parts.hostname or ''
    host = socket.gethostname() if host in _LOOPBACK or host.startswith('127.') else host
    return f'{host}:{parts.port or (443 if parts.scheme == "https" else 80)}{parts.path}'


def url_of(place: str) -> str:
    """Where the engine at such a place is asked."""
    host, _, rest = place.rpartition(':')
    host = '127.0.0.1' if host == socket.gethostname() else f'[{host}]' if ':' in host else host
    scheme = 'https' if rest.partition('/')[0] == '443' else 'http'
    return f'{scheme}://{host}:{rest}'


def _database(file: Path) -> Finding:
    import apsw

    advice = Told('Stop here and keep a copy of {file}; without the file the next start makes an empty one.', file=file)
    try:
        # read-only, and not through the room that owns it, which would bring an old schema up to date
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(2000)
            said = [str(row[0]) for row in connection.execute('PRAGMA quick_check(3)')]
        finally:
            connection.close()
    except apsw.Error as error:
        return Finding(file.name, PROBLEM, Told('cannot be read: {error}', error=error), advice)
    if said != ['ok']:
        return Finding(file.name, PROBLEM, Told('is damaged: {parts}', parts=tuple(said)), advice)
    return Finding(file.name, OK, Told('{size}, healthy', size=_size(file)))


def _open_to_others(path: Path) -> list[Path]:
    """What of ours other users could read; a folder that others use, too, keeps its own mode."""
    if os.name != 'posix':
        return []
    ours = [each for each in path.iterdir() if each.name.startswith(OURS)]
    inside = [inner for each in ours if each.is_dir() for inner in each.rglob('*')]
    return [each for each in (*ours, *inside) if stat.S_IMODE(each.lstat().st_mode) & 0o077 and not each.is_symlink()]


def _size(file: Path) -> str:
    return f'{file.stat().st_size / 1e6:.1f} MB'


def _whose(path: Path) -> Told:
    try:
        return Told('It belongs to {owner}: run Corral as that user, or choose another --data-dir.', owner=path.owner())
    except (KeyError, NotImplementedError, OSError):
        return Told('Give this user the right to write there, or choose another --data-dir.')


def _get(url: str) -> dict[str, object]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine or in the LAN
    with opener.open(url, timeout=PATIENCE_S) as reply:
        found = json.loads(reply.read(5_000_000))
    if not isinstance(found, dict):
        raise ValueError('no answer of Ollama')
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f'HTTP {error.code}'
    reason = getattr(error, 'reason', error)
    if isinstance(reason, ConnectionRefusedError):
        return Told('connection refused')
    if isinstance(reason, TimeoutError):
        return Told('no answer in time')
    if isinstance(reason, OSError):
        return (reason.strerror or str(reason)).lower()
    return Told('what answers there is not Ollama') if isinstance(reason, ValueError) else str(reason)
