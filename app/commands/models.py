"""``models``: what is installed where, and loading, unloading, pulling and removing it."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.commands.command import CommandError, Here, command, usage
from app.commands.terminal import clean_line
from broker import errors, facts, protocol, vitals
from broker.client import new_job_id
from broker.errand import FOR_EVER, Errand, Order

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer(help='The models of the workers: list, load, unload, pull, remove.')

Model = Annotated[str, typer.Argument(metavar='NAME', help='The model, like qwen3:8b.')]
Where = Annotated[str | None, typer.Option('--worker', '-w', help='On which worker; not needed where there is one.')]
COLUMNS = ('model', 'size', 'parameters', 'in memory', 'workers')
LOOK_EVERY_S = 0.3
GRACE_S = 10.0  # an errand that the broker does not know for so long is gone


@command(app, 'list')
async def listed(here: Here, broker: 'BrokerClient', worker: Where = None) -> None:
    """The models that are installed, and which are in memory."""
    found: dict[str, dict[str, Any]] = {}
    for each in (await broker.staff()).workers:
        for model in each.models if worker in (None, each.worker) else ():
            row = found.setdefault(model.name, msgspec.structs.asdict(model) | {'workers': [], 'memory_bytes': 0})
            loaded = vitals.of_model(each.vitals, model)
            row['workers'].append(each.worker)
            row['resident'] |= model.resident
            row['memory_bytes'] = max(row['memory_bytes'], loaded.size_bytes if loaded and model.resident else 0)
    rows = [found[name] for name in sorted(found)]
    if here.out.as_json:
        here.out.document(rows)
        return
    cells = [
        (
            row['name'],
            _size(row['size_bytes']) if row['size_bytes'] else '',
            row['parameter_size'],
            (_size(row['memory_bytes']) if row['memory_bytes'] else 'yes') if row['resident'] else '',
            ', '.join(row['workers']),
        )
        for row in rows
    ]
    here.out.table(COLUMNS, cells, empty='No worker has a model.')


@command(app, 'load')
async def load(
    here: Here,
    broker: 'BrokerClient',
    name: Model,
    worker: Where = None,
    keep: Annotated[bool, typer.Option('--keep', help='Keep it in memory until it is unloaded.')] = False,
) -> int:
    """Bring a model into memory, so that the first answer does not wait for it."""
    return await _run(here, broker, 'load', name, worker, keep_s=FOR_EVER if keep else 0.0)


@command(app, 'unload')
async def unload(here: Here, broker: 'BrokerClient', name: Model, worker: Where = None) -> int:
    """Take a model out of memory."""
    return await _run(here, broker, 'unload', name, worker)


@command(app, 'pull')
async def pull(here: Here, broker: 'BrokerClient', name: Model, worker: Where = None) -> int:
    """Fetch a model from Ollama's library; Ctrl-C stops that, and the next pull goes on from there."""
    return await _run(here, broker, 'pull', name, worker)


@command(app, 'remove')
async def remove(
    here: Here,
    broker: 'BrokerClient',
    name: Model,
    worker: Where = None,
    yes: Annotated[bool, typer.Option('--yes', '-y', help='Do not ask.')] = False,
) -> int:
    """Delete a model from the disk of its machine."""
    if not yes and not typer.confirm(f'Delete {clean_line(name)} from the disk?', err=True):
        raise typer.Abort
    return await _run(here, broker, 'remove', name, worker)


async def _run(
    here: Here, broker: 'BrokerClient', action: str, name: str, worker: str | None, *, keep_s: float = 0.0
) -> int:
    """Have it done, and show how far it is; the exit code."""
    place = worker or _only_one((await broker.staff()).workers, action, name)
    order = Order(errand_id=new_job_id(), action=action, model=name, keep_s=keep_s)
    try:
        errand = await broker.run_errand(place, order)
    except errors.Refused as refused:
        if refused.code == 'not_found':
            raise CommandError(f'No worker is called {place}; "workers" tells which there are.') from None
        raise
    try:
        ended = await _followed(here, broker, errand)
    except asyncio.CancelledError:
        if action == 'pull':
            await asyncio.shield(broker.cancel_errand(errand.errand_id))
            here.out.note('Stopped. What has come stays; the next pull goes on from there.')
        raise
    if here.out.as_json:
        here.out.document(msgspec.structs.asdict(ended))
    elif ended.state == 'done':
        done = {'load': 'is in memory', 'unload': 'has left memory', 'pull': 'is there', 'remove': 'is removed'}[action]
        here.out.say(f'{name} {done} on {ended.worker}.')
    if ended.state != 'done':
        why = 'it was stopped' if ended.state == 'cancelled' else ended.detail or ended.code
        raise CommandError(f'{name} on {ended.worker}: {why}.')
    return 0


async def _followed(here: Here, broker: 'BrokerClient', errand: Errand) -> Errand:
    """The errand when it has ended."""
    with here.out.progress(f'{errand.action} {errand.model}', None, in_bytes=True) as bar:
        missed = 0
        while not errand.final:
            await asyncio.sleep(LOOK_EVERY_S)
            known = {each.errand_id: each for each in (await broker.staff()).errands}
            if errand.errand_id not in known:  # a broker that was started anew hears of it from the worker
                missed += 1
                if missed * LOOK_EVERY_S > GRACE_S:
                    raise CommandError('Nobody knows how it went; "models list" tells which models there are.')
                continue
            missed, errand = 0, known[errand.errand_id]
            bar.reach(errand.completed, errand.total or None)
    return errand


def _only_one(workers: tuple[protocol.WorkerInfo, ...], action: str, name: str) -> str:
    """The worker that is meant where none was named. Raises ``CommandError``."""
    able = [each for each in workers if action == 'pull' or _has(each.models, name)]
    engines = {each.backend or each.worker: each.worker for each in able}
    if not workers:
        raise CommandError('No worker is there.')
    if not able:
        raise CommandError(f'No worker has the model {name}; "models list" tells which there are.')
    if len(engines) > 1:
        raise usage(f'On which worker? There are {", ".join(sorted(engines.values()))}; name one with --worker.')
    return next(iter(engines.values()))


def _has(models: tuple[facts.ModelInfo, ...], name: str) -> bool:
    return any(name in (model.name, model.name.removesuffix(':latest')) for model in models)


def _size(count: float) -> str:
    for unit in ('B', 'kB', 'MB'):
        if count < 1000:
            return f'{count:.0f} {unit}'
        count /= 1000
    return f'{count:.1f} GB'
