"""Workers, and letting nothing start: workers, pause, resume, drain."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.command import Here, command, usage
from app.commands.views import WORKER_COLUMNS, worker_dict, worker_row
from broker import facts, protocol
from broker.job import HELD_BY_WORKER, Job

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer()


class Scope(StrEnum):
    """Of what nothing starts."""

    ALL = 'all'
    MODEL = 'model'
    PRIORITY = 'priority'
    USER = 'user'
    WORKER = 'worker'


What = Annotated[Scope, typer.Argument(metavar='SCOPE', help='all, model, priority, user or worker.')]
Name = Annotated[str, typer.Argument(metavar='NAME', help='Which model, priority, user or worker.')]


@command(app, 'workers')
async def workers(here: Here, broker: 'BrokerClient') -> None:
    """The workers that are there, their engines and models."""
    found = (await broker.staff()).workers
    if here.out.as_json:
        here.out.document([worker_dict(worker) for worker in found])
    else:
        here.out.table(WORKER_COLUMNS, [worker_row(worker) for worker in found], empty='No worker is there.')


@command(app, 'pause')
async def pause(here: Here, broker: 'BrokerClient', scope: What = Scope.ALL, name: Name = '') -> None:
    """Let nothing of this start any more; what runs goes on."""
    _check(scope, name)
    _note(here, await broker.pause(str(scope), name))
    await _tell(here, broker, f'{_words(scope, name)} is paused; what runs goes on.')


@command(app, 'resume')
async def resume(here: Here, broker: 'BrokerClient', scope: What = Scope.ALL, name: Name = '') -> None:
    """End a pause."""
    _check(scope, name)
    await broker.resume(str(scope), name)
    await _tell(here, broker, f'{_words(scope, name)} may start again.')


@command(app, 'drain')
async def drain(
    here: Here,
    broker: 'BrokerClient',
    scope: What = Scope.ALL,
    name: Name = '',
    wait: Annotated[bool, typer.Option('--wait', '-w', help='Until nothing of it runs any more.')] = False,
) -> None:
    """Pause this, and know when the last run of it has ended."""
    _check(scope, name)
    seq = (await broker.ping()).seq
    _note(here, await broker.drain(str(scope), name))
    left = [job for job in (await broker.snapshot()).jobs if job.state in HELD_BY_WORKER and _is_of(job, scope, name)]
    if wait and left:
        here.out.note(f'{len(left)} still run …')
        try:
            await _drained(broker, seq, str(scope), name)
        except asyncio.CancelledError:
            here.out.note(f'It stays paused; "resume {scope} {name}".')
            raise
        left = []
    still = f'; {len(left)} still run' if left else '; nothing of it runs'
    await _tell(here, broker, f'{_words(scope, name)} is paused{still}.')


async def _drained(broker: 'BrokerClient', seq: int, scope: str, name: str) -> None:
    async for item in broker.feed(seq):
        match item:
            case protocol.FactOut(fact=facts.Drained() as fact) if (fact.scope, fact.name) == (scope, name):
                return


async def _tell(here: Here, broker: 'BrokerClient', sentence: str) -> None:
    if not here.out.as_json:
        here.out.say(sentence)
        return
    pauses: list[dict[str, Any]] = [
        {'scope': each.scope, 'name': each.name, 'draining': each.draining} for each in (await broker.staff()).pauses
    ]
    here.out.document({'pauses': pauses})


def _note(here: Here, note: str) -> None:
    if note:
        here.out.note(note)


def _check(scope: Scope, name: str) -> None:
    if scope is Scope.ALL and name:
        raise usage(f'"all" takes no name; for the model {name} it is "model {name}".')
    if scope not in (Scope.ALL, Scope.USER) and not name:
        raise usage(f'Which {scope}? It is "{scope} NAME".')


def _is_of(job: Job, scope: Scope, name: str) -> bool:
    named = {'model': job.model, 'priority': str(job.priority), 'user': job.user, 'worker': job.worker}
    return scope is Scope.ALL or named[scope] == name


def _words(scope: Scope, name: str) -> str:
    return 'Everything' if scope is Scope.ALL else f'{scope.capitalize()} {name or "without a name"}'
