"""``worker``: one worker process more, for the Corral on this machine or, with ``--join``, for one on another."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.command import CommandError, Exit, Here, command, usage
from app.options import HELP, ROOT

app = typer.Typer()
LOOK_EVERY_S = 1.0
JOIN_KEY = 'CORRAL_JOIN_KEY'
PATIENCE_S = 10.0  # after this, say that the desk cannot be reached


@command(app, 'worker')
def worker(
    here: Here,
    *,
    join: Annotated[str | None, typer.Option(help=HELP['join'], metavar='tcp://HOST:PORT')] = None,
    key: Annotated[str | None, typer.Option(help=HELP['join_key'], envvar=JOIN_KEY, show_envvar=False)] = None,
    engine: Annotated[str | None, typer.Option(help=HELP['engine'], metavar='auto|ollama|demo')] = None,
    ollama_url: Annotated[str | None, typer.Option(help=HELP['ollama_url'], metavar='URL')] = None,
    slots: Annotated[str | None, typer.Option(help=HELP['lone_slots'], metavar='N|auto')] = None,
    labels: Annotated[str | None, typer.Option(help=HELP['labels'], metavar='WORD,…')] = None,
    name: Annotated[str | None, typer.Option(help=HELP['worker_name'])] = None,
    log_level: Annotated[str | None, typer.Option(help=HELP['log_level'], metavar='LEVEL')] = None,
) -> int:
    """Run one worker process more for the Corral on this machine, until Ctrl-C or until that stops.

    With --join it works for the Corral of another machine, whose page Workers shows the whole command, and waits for
    that when it is away. Its jobs may finish for five seconds on Ctrl-C; what is left goes to another worker.
    """
    from app import settings

    flags = {**here.flags, 'engine': engine, 'ollama_url': ollama_url, 'slots': slots, 'log_level': log_level}
    flags |= {'worker': {'labels': labels}} if labels is not None else {}
    try:
        loaded = settings.load(flags, os.environ, here.context['tables'](), cwd=Path.cwd()).settings
    except settings.SettingsError as error:
        raise usage(str(error)) from None
    if join is None:
        return _local(here, loaded, name)
    _hide(key or '')
    return _join(here, loaded, join, key or '', name)


def _hide(key: str) -> None:
    """Begin anew with the key in the environment, where it was an argument: every user can list those."""
    bare = without_key(sys.orig_argv[1:])
    if key and os.name == 'posix' and len(bare) < len(sys.orig_argv) - 1:
        os.execve(sys.executable, [sys.executable, *bare], {**os.environ, JOIN_KEY: key})
    os.environ.pop(JOIN_KEY, None)  # the worker process is told on stdin


def without_key(arguments: list[str]) -> list[str]:
    """A command line without ``--key`` and what follows it."""
    kept: list[str] = []
    rest = iter(arguments)
    for each in rest:
        if each == '--key':
            next(rest, None)
        elif not each.startswith('--key='):
            kept.append(each)
    return kept


def _local(here: Here, loaded: Any, name: str | None) -> int:
    from app.commands import reach

    corral = here.corral()
    taken = set(reach.run(here, _names, {}))
    if name in taken:
        raise usage(f'There is a worker called {name} already; choose another --name.')
    place = f'{socket.gethostname()}:extra-'
    name = name or next(each for number in range(1, 10_000) if (each := f'{place}{number}') not in taken)
    spec = here.context['worker'](loaded, corral.endpoints, name)
    os.umask(0o077)
    return asyncio.run(_Lone(here, name, of=corral.pid).run(spec))


def _join(here: Here, loaded: Any, address: str, key: str, name: str | None) -> int:
    """Work for the desk at ``address``."""
    from app.launching import data_dir
    from broker import machines, network

    try:
        place = f'tcp://{network.checked(address)}'
        endpoints = machines.endpoints_of(place, key)
    except machines.NoToken:
        raise usage('--key is not the key of a desk; copy the whole command from its page Workers.') from None
    except ValueError as error:
        raise usage(f'--join {address} is not allowed: {error}.') from None
    name = name or f'{socket.gethostname()}:joined'
    os.umask(0o077)
    folder = loaded.data_dir / 'joined' / ''.join(c if c.isalnum() or c in '-.' else '-' for c in name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    loaded = loaded.model_copy(update={'data_dir': folder, 'slots': 0 if loaded.slots is None else loaded.slots})
    try:
        with data_dir.hold(folder):  # two of one name would drive each other out
            return asyncio.run(_Lone(here, name, at=place).run(here.context['worker'](loaded, endpoints, name)))
    except data_dir.DataDirError:
        text = f'A worker called {name} has joined from here already; stop it, or choose another --name.'
        raise usage(text) from None


async def _names(here: Here, broker: Any) -> list[str]:
    return [each.worker for each in (await broker.staff()).workers]


class _Lone:
    """Keeps the worker process alive: as long as the Corral ``of`` a process id is there, or for one ``at`` a place."""

    def __init__(self, here: Here, name: str, *, of: int = 0, at: str = '') -> None:
        self._here = here
        self._pid = of
        self._place = at
        self._name = name
        self._told = False
        self._alone = False
        self._refused: str | None = None

    async def run(self, spec: Any) -> int:
        from app.launching import supervisor

        logs = self._here.data_dir / 'logs'
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._kept = supervisor.Supervisor(
            [spec],
            folder=ROOT,
            errors_dir=logs,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            on_report=self._on_report,
        )
        looking = asyncio.create_task(self._wait() if self._place else self._look(), name='look')
        try:
            code: int = await self._kept.run()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        if self._refused is not None:
            unknown = (
                f'The desk at {self._place} refused the key. Make a new command on its page Workers: "Add a machine".'
            )
            raise CommandError(self._refused or unknown)
        if self._alone:
            raise CommandError('Corral was stopped, so this worker ends, too.', Exit.NO_CORRAL)
        return code

    def _on_report(self, name: str, fields: Mapping[str, Any]) -> None:
        if fields.get('ready') and not self._told:
            self._told = True
            engine = fields.get('engine', '')
            where = f' and works for {self._place}' if self._place else ''
            self._here.out.note(f'Worker {self._name} is ready ({engine}){where}. Ctrl-C ends it.')
            if self._here.out.as_json:
                self._here.out.line({'worker': self._name, 'engine': engine, 'ready': True})
        if fields.get('refused'):
            self._refused = str(fields.get('why', ''))
            self._kept.stop()
        if fields.get('left'):
            self._here.out.note(f'Worker {self._name} was asked to leave.')
            self._kept.stop()

    async def _wait(self) -> None:
        """A desk that cannot be reached is waited for, but not without a word."""
        await asyncio.sleep(PATIENCE_S)
        if not self._told:
            self._here.out.note(
                f'{self._place} does not answer yet; this goes on trying. Does Corral run there with --listen, and '
                'does its firewall let this machine in?'
            )

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            found = self._here.corral_or_none()
            if found is None or found.pid != self._pid:
                self._alone = True
                self._kept.stop()
                return
