"""Keeps a set of child processes alive, and ends them in order. It knows nothing about what they do.

A child gets its settings as one line of JSON on stdin, which then stays open: its end tells the child that we are
gone. It tells us things as lines of JSON on stdout. What it writes to stderr goes to a file.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.child import CANNOT_START

TRIES = 6  # a child that dies this often without ever having been ready will not be the next time either
TERM_GRACE_S = 0.5  # between SIGTERM and SIGKILL
KEEP_ERRORS_BYTES = 5_000_000  # a file of stderr larger than this starts anew

logger = logging.getLogger('corral.supervisor')


@dataclass(kw_only=True)
class ProcessSpec:
    """One child process. ``settings_json`` may be replaced and counts from the next start on."""

    name: str
    argv: Sequence[str]
    settings_json: str
    stop_order: int = 0  # lower ones stop first; equal ones together
    grace_s: float = 2.0  # how long it may take to stop by itself
    spare: bool = False  # not started at first; the others go on when it cannot start


@dataclass(kw_only=True)
class Backoff:
    """Delay before a restart: it doubles with every quick death and starts anew after a run that lasted."""

    first_s: float = 0.2
    max_s: float = 10.0
    settled_s: float = 30.0
    _next_s: float = field(default=0.0, init=False)

    def after(self, ran_s: float) -> float:
        """The delay after a run of ``ran_s``."""
        if ran_s >= self.settled_s or not self._next_s:
            self._next_s = self.first_s
        delay_s = self._next_s
        self._next_s = min(self.max_s, delay_s * 2)
        return delay_s


class Supervisor:
    """Runs the children of ``specs`` until a signal comes, ``stop`` is called, or one of them cannot start.

    ``say`` gets a line for the user, ``on_report(name, fields)`` what a child reports, and ``on_pids`` the process ids
    by name whenever they change. Children inherit ``pass_fds``. All are called on the event loop. A child that reports
    ``left`` and then ends well was asked to by somebody else: it is not started again.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        folder: Path,
        errors_dir: Path,
        say: Callable[[str], None],
        on_report: Callable[[str, Mapping[str, Any]], None] = lambda name, fields: None,
        on_pids: Callable[[Mapping[str, int]], None] = lambda pids: None,
        backoff: Callable[[], Backoff] = Backoff,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._make = lambda spec: _Child(spec, folder, errors_dir / f'{spec.name}.err', pass_fds)
        self._children = [self._make(spec) for spec in specs]
        self._keepers: dict[_Child, asyncio.Task[None]] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._mistake: BaseException | None = None
        self._say = say
        self._on_report = on_report
        self._on_pids = on_pids
        self._backoff = backoff
        self._failed = False

    async def run(self) -> int:
        """Start all, keep them alive until it is time to stop, stop them in order; returns the exit code."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        with _signals(self._loop, self._signalled):
            for child in self._children:
                self._start(child)
            try:
                await self._stopping.wait()
                await self._stop_in_order()
            finally:
                self._kill_all()
        if self._mistake is not None:
            raise self._mistake  # one of ours is not to be hidden
        return 1 if self._failed else 0

    def add(self, spec: ProcessSpec) -> None:
        """Start one more child and keep it alive. Its name must not be known."""
        assert not self.knows(spec.name)
        if not self._stopping.is_set():
            child = self._make(spec)
            self._children.append(child)
            self._start(child)

    def remove(self, name: str) -> None:
        """Hang up on a child, which may take its ``grace_s`` to end, and do not start it again."""
        child = next(child for child in self._children if child.spec.name == name)
        child.kept = False
        child.over.set()
        removal = asyncio.create_task(child.stop(self._keepers[child]), name=f'remove {name}')
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    def keeps(self, name: str) -> bool:
        """Whether there is a child of this name that is started again when it dies."""
        return any(child.spec.name == name and child.kept for child in self._children)

    def knows(self, name: str) -> bool:
        """Whether the name is taken: by a child that runs, is about to end, left, or could not start."""
        return any(child.spec.name == name for child in self._children)

    def stop(self) -> None:
        """Stop all in order. Safe to call more than once."""
        self._stopping.set()
        for child in self._children:
            child.over.set()

    def _signalled(self, number: int) -> None:
        logger.info('signal %s', number, extra={'action': 'signal'})
        if not self._stopping.is_set():
            self._say('Stopping. Press Ctrl-C again to stop at once.' if number == signal.SIGINT else 'Stopping.')
        elif number == signal.SIGINT:
            self._kill_all()
        self.stop()

    def _start(self, child: '_Child') -> None:
        keeper = self._keepers[child] = asyncio.create_task(self._keep(child), name=f'keep {child.spec.name}')
        keeper.add_done_callback(self._kept)

    def _kept(self, keeper: 'asyncio.Task[None]') -> None:
        if not keeper.cancelled() and keeper.exception() is not None:
            self._mistake = self._mistake or keeper.exception()
            self.stop()

    async def _keep(self, child: '_Child') -> None:
        backoff = self._backoff()
        deaths = 0
        while not child.over.is_set():
            started = time.monotonic()
            code = await self._run_once(child)
            if child.over.is_set():
                break
            name, file = child.spec.name, child.errors
            if code == 0 and child.left:
                child.kept = False
                self._say(f'{name} has left, as it was asked to; it is not started again.')
                return
            deaths += 1
            if code == CANNOT_START or (deaths >= TRIES and not child.was_ready):
                self._give_up(child, code)
                return
            delay_s = backoff.after(time.monotonic() - started)
            self._say(f'{name} {_ended(code)}; it is started again in {delay_s:g} s. Details: {file}')
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.over.wait(), delay_s)
        if not self._stopping.is_set():  # it was removed: its name is free for another one
            self._children.remove(child)
            del self._keepers[child]

    def _give_up(self, child: '_Child', code: int) -> None:
        child.kept = False
        self._say(child.error or f'{child.spec.name} cannot start; it {_ended(code)}. Details: {child.errors}')
        if not child.spec.spare:
            self._failed = True
            self.stop()

    async def _run_once(self, child: '_Child') -> int:
        try:
            await child.start()
        except OSError as error:
            self._say(f'{child.spec.name} does not start: {error.strerror or error}')
            return 127  # as a shell says it
        logger.info('%s is process %s', child.spec.name, child.pid, extra={'action': 'started'})
        self._tell_pids()
        try:
            return await child.ended(lambda fields: self._on_report(child.spec.name, fields))
        finally:
            logger.info('%s ended', child.spec.name, extra={'action': 'ended'})
            self._tell_pids()

    def _tell_pids(self) -> None:
        self._on_pids({child.spec.name: child.pid for child in self._children if child.pid})

    async def _stop_in_order(self) -> None:
        for order in sorted({child.spec.stop_order for child in self._children}):
            group = [child for child in self._children if child.spec.stop_order == order]
            await asyncio.gather(*(child.stop(self._keepers[child]) for child in group))

    def _kill_all(self) -> None:
        for child in self._children:
            child.kill()


class _Child:
    """One child process over its starts."""

    def __init__(self, spec: ProcessSpec, folder: Path, errors: Path, pass_fds: Sequence[int]) -> None:
        self.spec = spec
        self.errors = errors
        self.error = ''  # the last sentence that it reported as an error
        self.was_ready = False  # ever, in any of its starts
        self.left = False  # it said in this start that it leaves for good
        self.kept = True  # it is started again when it dies
        self.over = asyncio.Event()  # the next end is its last
        self._folder = folder
        self._pass_fds = pass_fds
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id, or 0 when it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else 0

    async def start(self) -> None:
        self.error, self.left = '', False
        too_long = self.errors.exists() and self.errors.stat().st_size > KEEP_ERRORS_BYTES
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if too_long else os.O_APPEND)
        with os.fdopen(os.open(self.errors, flags, 0o600), 'ab') as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                limit=1_000_000,
                pass_fds=self._pass_fds,
                **_own_group(),
            )
        with contextlib.suppress(OSError):  # it died at once: waiting for it says so
            assert self._process.stdin
            self._process.stdin.write(self.spec.settings_json.encode() + b'\n')
            await self._process.stdin.drain()

    async def ended(self, on_report: Callable[[Mapping[str, Any]], None]) -> int:
        """Wait for its end, passing on what it reports; returns the exit code."""
        assert self._process
        reader = asyncio.create_task(self._read_reports(on_report))
        code = await self._process.wait()
        done, _ = await asyncio.wait([reader], timeout=1)  # a grandchild may hold the pipe open for ever
        reader.cancel()
        for task in done:
            task.result()
        self._hang_up()
        return code

    async def stop(self, keeper: 'asyncio.Task[None]') -> None:
        """Hang up, then SIGTERM, then SIGKILL; returns when it is gone."""
        self._hang_up()
        for grace_s, insist in ((self.spec.grace_s, self._terminate), (TERM_GRACE_S, self.kill)):
            await asyncio.wait([keeper], timeout=grace_s)
            if keeper.done():
                return
            insist()
        await asyncio.wait([keeper], timeout=1)

    def kill(self) -> None:
        """End it and what it started, now."""
        self._send(getattr(signal, 'SIGKILL', signal.SIGTERM), group=True)

    def _terminate(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals, *, group: bool = False) -> None:
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if group and hasattr(os, 'killpg'):
                os.killpg(self.pid, number)
            elif self._process:
                self._process.send_signal(number)

    def _hang_up(self) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()

    async def _read_reports(self, on_report: Callable[[Mapping[str, Any]], None]) -> None:
        assert self._process and self._process.stdout
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than any report
                continue
            if not line:
                return
            try:
                fields = json.loads(line)
            except ValueError:
                fields = None
            if not isinstance(fields, dict):
                logger.warning('%s printed %r', self.spec.name, line[:200], extra={'action': 'printed'})
                continue
            self.error = str(fields.get('error') or self.error)
            self.was_ready = self.was_ready or bool(fields.get('ready'))
            self.left = self.left or bool(fields.get('left'))
            on_report(fields)


def with_fields(settings_json: str, **fields: object) -> str:
    """The same settings with some fields replaced."""
    return json.dumps({**json.loads(settings_json), **fields})


def _own_group() -> dict[str, Any]:
    """A group of its own, so that a Ctrl-C in the console reaches only us."""
    if sys.platform == 'win32':
        return {'creationflags': subprocess.CREATE_NEW_PROCESS_GROUP}
    return {'start_new_session': True}


def _ended(code: int) -> str:
    if code >= 0:
        return f'ended with exit code {code}'
    try:
        return f'was ended by {signal.Signals(-code).name}'
    except ValueError:
        return f'was ended by signal {-code}'


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, callback: Callable[[int], None]) -> Iterator[None]:
    numbers = [getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK') if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        try:
            loop.add_signal_handler(number, callback, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(callback, got))
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
