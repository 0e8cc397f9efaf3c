"""How a process lives under ``run.py``: settings come in on stdin, one report goes out on stdout, and the end of
stdin means that the parent is gone or wants us to stop. So a killed parent leaves no orphan, on any platform.
"""

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

MOST_FILES = 65_536  # open at once
MOST_ERRORS_BYTES = 5_000_000  # of stderr, where that is a file
CANNOT_START = 78  # exit code (EX_CONFIG of sysexits.h): starting again would not help

WINDOWS = os.name == 'nt'

Settings = TypeVar('Settings', bound=BaseModel)
ResultT = TypeVar('ResultT')


def read_settings(model: type[Settings]) -> Settings:
    """The settings that the parent wrote as one line of JSON."""
    return model.model_validate_json(sys.stdin.readline())


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """``asyncio.run`` on a loop that ZeroMQ can use."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop that ZeroMQ can use: the usual one of Windows cannot watch sockets for it."""
    return asyncio.SelectorEventLoop() if WINDOWS else asyncio.new_event_loop()


def on_stop(callback: Callable[[], None]) -> None:
    """Call ``callback`` once, from another thread or a signal handler, when this process should stop.

    That is on SIGTERM and when stdin ends. SIGINT is ignored: a Ctrl-C is the parent's to handle, in order.
    """
    once = threading.Lock()

    def stop(*_: object) -> None:
        if once.acquire(blocking=False):
            callback()

    def watch_parent() -> None:
        while os.read(0, 4096):
            pass
        stop()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=watch_parent, name='watch-parent', daemon=True).start()


def report(**fields: object) -> None:
    """Tell the parent something, as one line of JSON on stdout: ``report(ready=True, port=8080)``."""
    print(json.dumps(fields), flush=True)


def open_files() -> int:
    """Raise the number of files that this process may have open as far as it is let; how many that is."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems have a limit besides
        return soft
    return wanted


class Latest:
    """Reports that nobody has to wait for: a parent that does not read, say because Ctrl-Z stopped it, gets the newest
    one later.
    """

    def __init__(self) -> None:
        self._newest: dict[str, object] = {}
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._tell, name='report', daemon=True)
        self._thread.start()

    def report(self, **fields: object) -> None:
        """As the function of this name, but soon instead of now, unless a newer report comes before."""
        self._newest = fields
        self._news.set()

    def _tell(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            try:
                report(**self._newest)
            except OSError:  # the parent is gone
                return


class _Line(logging.Formatter):
    """One line per record, with ``action`` and ``job_id`` where the call gave them as ``extra``."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = ''.join(f' {key}={record.__dict__[key]}' for key in ('action', 'job_id') if key in record.__dict__)
        line = super().formatMessage(record) + fields
        if line.isprintable():
            return line
        return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in line)  # no message can forge a second line

    def formatException(self, ei: Any) -> str:
        return textwrap.indent(super().formatException(ei), '  ')  # nor can the text of an error


class _File(logging.handlers.RotatingFileHandler):
    def shouldRollover(self, record: logging.LogRecord) -> int:
        # as the one above it, which writes each record a second time and asks for the file by its name twice
        return self.stream is not None and os.fstat(self.stream.fileno()).st_size >= self.maxBytes

    def handleError(self, record: logging.LogRecord) -> None:
        """On a full disk the line is lost, and nothing else is disturbed by it."""


class _Errors(logging.StreamHandler[Any]):
    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # a terminal, a pipe, or nothing at all
            place = self.stream.fileno()
            if os.fstat(place).st_size > MOST_ERRORS_BYTES:
                os.ftruncate(place, 0)  # all of it is in the log as well
        super().emit(record)


def configure_logging(room: str, data_dir: Path, level: str) -> None:
    """Log to ``<data_dir>/logs/<room>.log`` (0600, rotated at 5 MB) and, from errors up, to stderr."""
    folder = data_dir / 'logs'
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _File(folder / f'{room}.log', maxBytes=5_000_000, backupCount=3, encoding='utf-8')
    os.chmod(file.baseFilename, 0o600)
    errors = _Errors()
    errors.setLevel(logging.ERROR)
    for handler in (file, errors):
        handler.setFormatter(_Line('%(asctime)s %(levelname)s %(name)s %(message)s'))
    logging.basicConfig(level=level.upper(), handlers=[file, errors], force=True)
