"""``worker``: one worker process more for the Corral that runs on this machine."""

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


@command(app, 'worker')
def worker(
    here: Here,
    *,
    engine: Annotated[str | None, typer.Option(help=HELP['engine'], metavar='auto|ollama|demo')] = None,
    ollama_url: Annotated[str | None, typer.Option(help=HELP['ollama_url'], metavar='URL')] = None,
    slots: Annotated[str | None, typer.Option(help=HELP['lone_slots'], metavar='N|auto')] = None,
    labels: Annotated[str | None, typer.Option(help=HELP['labels'], metavar='WORD,…')] = None,
    name: Annotated[str | None, typer.Option(help=HELP['worker_name'])] = None,
    log_level: Annotated[str | None, typer.Option(help=HELP['log_level'], metavar='LEVEL')] = None,
) -> int:
    """Run one worker process more for the Corral on this machine, until Ctrl-C or until that stops.

    Its jobs may finish for five seconds on Ctrl-C; what is left goes to another worker. Workers on other machines
    come with a later version.
    """
    from app import settings, supervisor
    from app.commands import reach

    flags = {**here.flags, 'engine': engine, 'ollama_url': ollama_url, 'slots': slots, 'log_level': log_level}
    flags |= {'worker': {'labels': labels}} if labels is not None else {}
    try:
        loaded = settings.load(flags, os.environ, here.context['tables'](), cwd=Path.cwd()).settings
    except settings.SettingsError as error:
        raise usage(str(error)) from None
    corral = here.corral()
    taken = set(reach.run(here, _names, {}))
    if name in taken:
        raise usage(f'There is a worker called {name} already; choose another --name.')
    place = f'{socket.gethostname()}:extra-'
    name = name or next(each for number in range(1, 10_000) if (each := f'{place}{number}') not in taken)
    spec = here.context['worker'](loaded, corral.endpoints, name)
    kept = _Lone(here, corral.pid, name)
    os.umask(0o077)
    return asyncio.run(kept.run(supervisor, spec))


async def _names(here: Here, broker: Any) -> list[str]:
    return [each.worker for each in (await broker.staff()).workers]


class _Lone:
    """Keeps the worker process alive for as long as the Corral is there that it works for."""

    def __init__(self, here: Here, pid: int, name: str) -> None:
        self._here = here
        self._pid = pid
        self._name = name
        self._told = False
        self._alone = False

    async def run(self, supervisor: Any, spec: Any) -> int:
        self._kept = supervisor.Supervisor(
            [spec],
            folder=ROOT,
            errors_dir=self._here.data_dir / 'logs',
            say=lambda line: print(line, file=sys.stderr, flush=True),
            on_report=self._on_report,
        )
        looking = asyncio.create_task(self._look(), name='look')
        try:
            code: int = await self._kept.run()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        if self._alone:
            raise CommandError('Corral was stopped, so this worker ends, too.', Exit.NO_CORRAL)
        return code

    def _on_report(self, name: str, fields: Mapping[str, Any]) -> None:
        if fields.get('ready') and not self._told:
            self._told = True
            engine = fields.get('engine', '')
            self._here.out.note(f'Worker {self._name} is ready ({engine}). Ctrl-C ends it.')
            if self._here.out.as_json:
                self._here.out.line({'worker': self._name, 'engine': engine, 'ready': True})
        if fields.get('left'):
            self._here.out.note(f'Worker {self._name} was asked to leave.')
            self._kept.stop()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            found = self._here.corral_or_none()
            if found is None or found.pid != self._pid:
                self._alone = True
                self._kept.stop()
                return
