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
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from app.data_dir import OURS
from app.options import ROOT

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'
LOW_BYTES, TOO_LOW_BYTES = 2_000_000_000, 200_000_000  # free on the disk
PATIENCE_S = 3.0  # for Ollama
LARGE_BYTES = 500_000_000  # a larger database is not read through unless that is wanted
_LOOPBACK = ('localhost', '::1')
_PIN = re.compile(r'^([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(;[^\\]*)?', re.M)


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
        yield Finding('Python', PROBLEM, version, 'Corral needs 3.11 or newer: start run.py with a newer one.')
    else:
        yield Finding('Python', OK, f'{version} ({sys.prefix})')


def packages(lock: Path = ROOT / 'requirements.txt') -> Iterator[Finding]:
    """The packages against the lock file."""
    wrong, count = [], 0
    for name, wanted, marker in _PIN.findall(lock.read_text(encoding='utf-8')):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if not marker:  # others are for other systems
                wrong.append(f'{name} is missing')
            continue
        count += 1
        if found != wanted:
            wrong.append(f'{name} is {found} instead of {wanted}')
    if wrong:
        advice = 'Remove .venv beside run.py and start Corral: it installs the locked packages anew.'
        yield Finding('packages', PROBLEM, '; '.join(wrong[:5]) + (' …' if len(wrong) > 5 else ''), advice)
    else:
        yield Finding('packages', OK, f'{count} as locked')


def folder(path: Path) -> Iterator[Finding]:
    """The data directory: is it there, ours, private, and is there room?"""
    if not path.exists():
        parent = next(parent for parent in path.parents if parent.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            yield Finding('data directory', PROBLEM, f'{path} cannot be made in {parent}', _whose(parent))
            return
        yield Finding('data directory', OK, f'{path} is made on the first start')
        path = parent
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Finding('data directory', PROBLEM, f'{path} cannot be written to', _whose(path))
        return
    elif open_to_others := _open_to_others(path):
        names = ', '.join(str(each) for each in open_to_others[:3])
        advice = f'Others on this machine can read it: chmod -R go-rwx {path}'
        yield Finding('data directory', PROBLEM, f'{names} is not private', advice)
    else:
        yield Finding('data directory', OK, str(path))
    free = shutil.disk_usage(path).free
    state = PROBLEM if free < TOO_LOW_BYTES else WARNING if free < LOW_BYTES else OK
    advice = 'Free some space: without it new jobs are refused.' if state != OK else ''
    yield Finding('disk', state, f'{free / 1e9:.1f} GB free', advice)


def databases(path: Path, *, thorough: bool, in_use: bool) -> Iterator[Finding]:
    """The queue and the conversations. One that a Corral has open is not touched: it answers for itself."""
    for name in ('queue.db', 'desk.db'):
        file = path / name
        if not file.exists():
            yield Finding(name, OK, 'is made on the first start')
        elif in_use:
            yield Finding(name, OK, f'{file.stat().st_size / 1e6:.1f} MB, in use')
        elif file.stat().st_size > LARGE_BYTES and not thorough:
            yield Finding(name, OK, f'{file.stat().st_size / 1e6:.0f} MB, not read through (--thorough does)')
        else:
            yield _database(file)


def ollama(url: str, engine: str) -> Iterator[Finding]:
    """Ollama and its models."""
    try:
        version = str(_get(f'{url}/api/version').get('version', 'of unknown version'))
        listed = _get(f'{url}/api/tags').get('models')
    except (OSError, ValueError) as error:
        state = PROBLEM if engine == 'ollama' else OK if engine == 'demo' else WARNING
        without = 'Until then the built-in demo answers. ' if engine == 'auto' else ''
        advice = f'{without}Start Ollama ("ollama serve"), or say where it is with --ollama-url.'
        yield Finding('Ollama', state, f'{url} does not answer ({_reason(error)})', advice if state != OK else '')
        return
    yield Finding('Ollama', OK, f'{version} at {url}')
    models = listed if isinstance(listed, list) else []
    names = [str(each.get('name', '')) for each in models if isinstance(each, dict)]
    if names:
        more = f' and {len(names) - 5} more' if len(names) > 5 else ''
        yield Finding('models', OK, ', '.join(names[:5]) + more)
    else:
        yield Finding('models', WARNING, 'Ollama has none', 'Fetch one, for example with "ollama pull qwen3".')


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

    advice = f'Stop here and keep a copy of {file}; without the file the next start makes an empty one.'
    try:
        # read-only, and not through the room that owns it, which would bring an old schema up to date
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(2000)
            said = [str(row[0]) for row in connection.execute('PRAGMA quick_check(3)')]
        finally:
            connection.close()
    except apsw.Error as error:
        return Finding(file.name, PROBLEM, f'cannot be read: {error}', advice)
    if said != ['ok']:
        return Finding(file.name, PROBLEM, f'is damaged: {"; ".join(said)}', advice)
    return Finding(file.name, OK, f'{file.stat().st_size / 1e6:.1f} MB, healthy')


def _open_to_others(path: Path) -> list[Path]:
    """What of ours other users could read; a folder that others use, too, keeps its own mode."""
    if os.name != 'posix':
        return []
    ours = [each for each in path.iterdir() if each.name.startswith(OURS)]
    inside = [inner for each in ours if each.is_dir() for inner in each.rglob('*')]
    return [each for each in (*ours, *inside) if stat.S_IMODE(each.lstat().st_mode) & 0o077 and not each.is_symlink()]


def _whose(path: Path) -> str:
    try:
        return f'It belongs to {path.owner()}: run Corral as that user, or choose another --data-dir.'
    except (KeyError, NotImplementedError, OSError):
        return 'Give this user the right to write there, or choose another --data-dir.'


def _get(url: str) -> dict[str, object]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine or in the LAN
    with opener.open(url, timeout=PATIENCE_S) as reply:
        found = json.loads(reply.read(5_000_000))
    if not isinstance(found, dict):
        raise ValueError('the answer is not one of Ollama')
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f'HTTP {error.code}'
    reason = getattr(error, 'reason', error)
    if isinstance(reason, OSError):
        return (reason.strerror or str(reason)).lower()
    return 'no answer of Ollama' if isinstance(reason, ValueError) else str(reason)
