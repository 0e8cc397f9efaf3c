"""Choosing where the broker's sockets are: files in a private folder, or loopback TCP with keys for this start."""

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

import zmq

from broker.endpoints import Endpoints

NAMES = ('client', 'worker', 'facts')
LONGEST_PATH = 100  # bytes; a unix socket's path may have 103 on macOS and 107 on Linux


class UnsafeFolder(OSError):
    """The folder for the sockets belongs to somebody else, or others may enter it."""


def choose(data_dir: Path, transport: str = 'auto') -> Endpoints:
    """Endpoints for one start. With ``auto`` they are ipc where the platform has it.

    Raises:
        UnsafeFolder: Somebody else has made our folder in the temporary directory.
        OSError: The folder cannot be made.
    """
    if transport == 'auto' and os.name == 'posix' and zmq.has('ipc'):
        for folder in (data_dir / 'run', _short_folder(data_dir)):
            if max(len(os.fsencode(folder / name)) for name in NAMES) < LONGEST_PATH:
                _make_private(folder)
                return Endpoints(**{name: f'ipc://{folder / name}' for name in NAMES})
    return _loopback()


def _short_folder(data_dir: Path) -> Path:
    base = os.environ.get('XDG_RUNTIME_DIR', '')
    if not os.path.isdir(base):
        base = tempfile.gettempdir()
    return Path(base) / f'corral-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}'


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()  # lstat: a link would lead wherever its maker likes
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise UnsafeFolder(f'{folder} is not a folder of this user.') from None
    folder.chmod(0o700)


def _loopback() -> Endpoints:
    broker_public, broker_secret = zmq.curve_keypair()
    peer_public, peer_secret = zmq.curve_keypair()
    ports = [socket.create_server(('127.0.0.1', 0)) for _ in NAMES]
    try:
        places = {name: f'tcp://127.0.0.1:{port.getsockname()[1]}' for name, port in zip(NAMES, ports, strict=True)}
    finally:
        for port in ports:
            port.close()
    return Endpoints(
        **places,
        broker_public=broker_public.decode(),
        broker_secret=broker_secret.decode(),
        peer_public=peer_public.decode(),
        peer_secret=peer_secret.decode(),
    )
