"""One run of Corral from the first check to the last process's end."""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.launching import crew, data_dir, pool, supervisor
from app.settings import LaunchSettings
from broker import child

PATIENCE_S = 20.0  # after this, say what is missing
BROKER = 'broker'
DESK = 'app'  # name of the process that serves the pages
MISSING = {  # by what the desk reports
    'broker': 'the broker',
    'worker': 'a worker',
    'model': 'a model; is Ollama running at {url} and has it one? (--engine demo needs neither)',
}

logger = logging.getLogger('corral.launch')

Compose = Callable[[LaunchSettings], Sequence[supervisor.ProcessSpec]]


class CannotLaunch(Exception):
    """Corral cannot start. The message is one sentence for the user."""


def launch(settings: LaunchSettings, compose: Compose, root: Path) -> int:
    """Check, start what ``compose`` names, run until told to stop; returns the exit code.

    Raises:
        CannotLaunch: Nothing was started.
    """
    os.umask(0o077)  # whatever we and the children write is the user's alone
    try:
        with data_dir.hold(settings.data_dir) as held:
            check_port(settings.host, settings.port)
            child.configure_logging('run', settings.data_dir, settings.log_level)
            return asyncio.run(_Launch(settings, _composed(compose, settings), held, root).run())
    except data_dir.DataDirError as error:
        raise CannotLaunch(str(error)) from None


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be had."""
    place = f'Port {port} on {host}'
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip('[]'), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == 'posix':
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotLaunch(
                f'{place} is in use by another program. Stop it or choose another port, e.g. --port 0 for any free one.'
            ) from None
        why = (error.strerror or str(error)).lower()
        raise CannotLaunch(f'{place} cannot be used: {why}. Choose another with --port.') from None


def _composed(compose: Compose, settings: LaunchSettings) -> Sequence[supervisor.ProcessSpec]:
    try:
        return compose(settings)
    except OSError as error:
        raise CannotLaunch(f'The folder for the sockets cannot be used: {error}') from None


class _Launch:
    def __init__(
        self, settings: LaunchSettings, specs: Sequence[supervisor.ProcessSpec], held: data_dir.Held, root: Path
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._held = held
        self._root = root
        self._crew: crew.Crew | None = None
        self._ready = False
        self._waiting_for = 'the processes to start'

    async def run(self) -> int:
        at_first = [spec for spec in self._specs if not spec.spare]
        workers = sum(spec.name.startswith('worker') for spec in at_first)
        more = f' (up to {workers + len(self._specs) - len(at_first)})' if len(at_first) < len(self._specs) else ''
        say(f'Starting broker, {workers} worker{"s" if workers != 1 else ""}{more} and {self._desk()} …')
        patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._say_what_is_missing)
        kept = supervisor.Supervisor(
            at_first,
            folder=self._root,
            errors_dir=self._settings.data_dir / 'logs',
            say=say,
            on_report=self._on_report,
            on_pids=self._held.write_pids,
            pass_fds=self._held.inherited(),
        )
        self._tell_commands()
        looking = self._look_after_workers(kept)
        try:
            return await kept.run()
        finally:
            patience.cancel()
            if looking is not None:
                looking.cancel()

    def _desk(self) -> str:
        pages = all(json.loads(spec.settings_json).get('pages', True) for spec in self._specs if spec.name == DESK)
        return 'desk' if pages else 'APIs'

    def _tell_commands(self) -> None:
        """Let ``run.py list`` and the other commands find the broker as the desk does."""
        for spec in self._specs:
            if spec.name == DESK and (endpoints := json.loads(spec.settings_json).get('endpoints')):
                self._held.write_endpoints(json.dumps(endpoints))

    def _look_after_workers(self, kept: supervisor.Supervisor) -> 'asyncio.Task[None] | None':
        """Where their number is a range: have it follow the load."""
        if not self._settings.follows_load or self._settings.workers is None:
            return None
        limits: pool.PoolSettings = getattr(self._settings, 'pool', pool.PoolSettings())
        workers = [spec for spec in self._specs if spec.name.startswith('worker')]
        self._crew = crew.Crew(pool.Pool(*self._settings.workers, limits), workers, kept)
        return asyncio.create_task(self._crew.run(), name='crew')

    def _on_report(self, name: str, fields: Mapping[str, Any]) -> None:
        if name == BROKER and self._crew is not None:
            self._crew.on_report(fields)
        if name != DESK:
            return
        if fields.get('waiting_for'):
            what = str(fields['waiting_for'])
            self._waiting_for = MISSING[what].format(url=self._settings.ollama_url) if what in MISSING else what
            logger.info('waiting for %s', self._waiting_for, extra={'action': 'waiting'})
        if fields.get('ready') and not self._ready:
            self._ready = True
            self._announce(int(fields.get('port') or self._settings.port))

    def _announce(self, port: int) -> None:
        host = self._settings.host.strip('[]')
        url = f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'
        self._keep_port(port)
        self._held.note(pid=os.getpid(), url=url)
        logger.info('ready at %s', url, extra={'action': 'ready'})
        _print(f'Corral is ready: {url}', sys.stdout)
        if not self._settings.no_browser and has_browser():
            logger.info('opening the browser', extra={'action': 'open_browser'})
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    def _keep_port(self, port: int) -> None:
        """A desk that is restarted takes the same port again, so that open pages find it."""
        for spec in self._specs:
            if spec.name == DESK:
                spec.settings_json = supervisor.with_fields(spec.settings_json, port=port)

    def _say_what_is_missing(self) -> None:
        if not self._ready:
            logs = self._settings.data_dir / 'logs'
            say(f'Not ready yet: waiting for {self._waiting_for}. Logs: {logs}')


def has_browser() -> bool:
    """Whether there is a screen to open a browser on."""
    if sys.platform.startswith('linux'):
        return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    return True


def say(line: str) -> None:
    """One line for the user, on stderr and in the log."""
    logging.getLogger('corral').info('%s', line, extra={'action': 'said'})
    _print(line, sys.stderr)


def _print(line: str, stream: Any) -> None:
    with contextlib.suppress(OSError):  # the terminal was closed; we go on or stop in order all the same
        print(line, file=stream, flush=True)
