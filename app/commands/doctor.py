"""``doctor``: is everything as it should be, and if not, what to do."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands import checkup
from app.commands.checkup import OK, PROBLEM, WARNING, Finding
from app.commands.command import Exit, Here, command
from app.commands.moments import took
from app.commands.place import Running

app = typer.Typer()


@command(app, 'doctor')
def doctor(
    here: Here,
    thorough: Annotated[bool, typer.Option('--thorough', help='Read large databases through as well.')] = False,
) -> int:
    """Check this machine and this Corral, and say what to do. Exit code 1 when something is wrong."""
    found: list[Finding] = []
    with here.out.progress('Looking', None) as progress:
        for finding in _findings(here, thorough):
            found.append(finding)
            progress.reach(len(found))
    if here.out.as_json:
        here.out.document([finding._asdict() for finding in found])
    else:
        here.out.table(('', 'what', 'found'), [(each.state, each.what, each.detail) for each in found], empty='')
        for each in found:
            if each.advice:
                here.out.say(f'{each.what}: {each.advice}')
    return Exit.FAILED if any(each.state == PROBLEM for each in found) else Exit.OK


def _findings(here: Here, thorough: bool) -> Iterator[Finding]:
    yield from checkup.python()
    yield from checkup.packages()
    settings, problems = _settings(here)
    yield from problems
    path = settings.data_dir if settings else here.data_dir
    yield from checkup.folder(path)
    running = here.corral_or_none()
    yield from checkup.databases(path, thorough=thorough, in_use=running is not None)
    engines: set[str] = set()
    if running:
        yield from _running(here, running, engines)
    else:
        yield Finding('Corral', OK, 'does not run')
        if settings:
            yield _port(settings.host, settings.port)
    if settings:
        yield from checkup.ollama(settings.ollama_url, settings.engine)
        engines.discard(checkup.place(settings.ollama_url))
    for engine in sorted(engines):
        yield from checkup.ollama(checkup.url_of(engine), 'ollama')


def _settings(here: Here) -> tuple[Any, list[Finding]]:
    from app import settings

    try:
        loaded = settings.load(here.flags, os.environ, here.context['tables'](), cwd=Path.cwd())
    except settings.SettingsError as error:
        return None, [Finding('settings', PROBLEM, str(error), 'Correct that; Corral does not start with it.')]
    warnings = [Finding('settings', WARNING, each, 'Correct or remove it.') for each in loaded.warnings]
    return loaded.settings, warnings or [Finding('settings', OK, 'sound')]


def _running(here: Here, corral: Running, engines: set[str]) -> Iterator[Finding]:
    """The Corral that runs; the places of the engines that its workers on this machine use go into ``engines``."""
    from app.commands import reach
    from app.commands.command import CommandError

    async def ask(here: Here, broker: Any) -> tuple[float, Any]:
        began = time.perf_counter()
        await broker.ping()
        return time.perf_counter() - began, await broker.snapshot()

    try:
        took_s, snapshot = reach.run(here, ask, {})
    except CommandError as error:
        advice = f'Look into {here.data_dir / "logs"}; stopping and starting Corral loses no job.'
        yield Finding('Corral', PROBLEM, str(error), advice)
        return
    where = corral.url or 'not ready yet'
    yield Finding('Corral', OK, f'runs (pid {corral.pid}, {where}); its queue answers in {took_s * 1000:.0f} ms')
    if not snapshot.workers:
        advice = f'They are started again by themselves; if none comes, look into {here.data_dir / "logs"}.'
        yield Finding('workers', PROBLEM, 'none is there', advice)
    here_now = socket.gethostname()  # what others can reach need not be open to us; they say themselves how it is
    engines |= {worker.backend for worker in snapshot.workers if worker.backend and worker.host == here_now}
    for worker in snapshot.workers:
        ill = f': {worker.problem}' if worker.problem else ''
        names = ', '.join(sorted(model.name for model in worker.models)) or 'no model'
        detail = (
            f'{worker.worker}, {worker.engine}, {worker.slots} slot{"s" if worker.slots != 1 else ""}, {names}{ill}'
        )
        advice = 'Its engine does not answer as it should; see Ollama below.' if ill or not worker.models else ''
        yield Finding('worker', WARNING if advice else OK, detail, advice)
    waits_s = max((time.time() - job.queued_at for job in snapshot.jobs if job.state == 'waiting'), default=0.0)
    state = WARNING if snapshot.pauses else OK
    advice = '"resume" ends a pause; "status" shows which.' if snapshot.pauses else ''
    oldest = f', the oldest for {took(waits_s)}' if waits_s else ''
    yield Finding('queue', state, f'jobs: {len(snapshot.jobs)}{oldest}; pauses: {len(snapshot.pauses)}', advice)


def _port(host: str, port: int) -> Finding:
    from app.launching import launch

    try:
        launch.check_port(host, port)
    except launch.CannotLaunch as error:
        return Finding('port', PROBLEM, str(error), 'Choose another with --port, or 0 for any free one.')
    return Finding('port', OK, f'{port} on {host} is free')
