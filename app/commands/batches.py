"""``batch``: how batches go on."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.commands import bulk, jobs
from app.commands.command import CommandError, Here, command
from app.commands.moments import iso, shown
from broker import protocol

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer(no_args_is_help=True, help='Batches: how far they are, their answers, stopping them.')
BatchId = Annotated[str, typer.Argument(metavar='ID', help='The batch; "last" is the newest one.', show_default=False)]
COLUMNS = ('batch', 'name', 'user', 'opened', 'jobs', 'done', 'running', 'failed', 'cancelled', 'state')


@command(app, 'list')
async def list_batches(
    here: Here,
    broker: 'BrokerClient',
    user: jobs.User = '',
    limit: Annotated[int, typer.Option('--limit', '-n', min=1, max=100, help='So many at most.')] = 20,
) -> None:
    """Batches, newest first."""
    found = await broker.batches(user=user, limit=limit)
    if here.out.as_json:
        here.out.document([_dict(each) for each in found])
    else:
        here.out.table(COLUMNS, [_row(each, time.time()) for each in found], empty='No batches.')


@command(app, 'show')
async def show(here: Here, broker: 'BrokerClient', batch_id: BatchId) -> None:
    """How far a batch is."""
    found = await broker.batch(await _id_of(broker, batch_id))
    if here.out.as_json:
        here.out.document(_dict(found))
    else:
        here.out.fields(list(zip(COLUMNS, _row(found, time.time()), strict=True)))


@command(app, 'results')
async def results(here: Here, broker: 'BrokerClient', batch_id: BatchId) -> int:
    """The answers of a batch as lines of JSON, in the order of its jobs; waits for those that go on."""
    found = await broker.batch(await _id_of(broker, batch_id))
    return await bulk.results(here, broker, found.batch_id, found.total)


@command(app, 'cancel')
async def cancel(here: Here, broker: 'BrokerClient', batch_id: BatchId) -> None:
    """Stop all jobs of a batch; it takes no more."""
    batch_id = await _id_of(broker, batch_id)
    await broker.cancel_batch(batch_id)
    if here.out.as_json:
        here.out.document(_dict(await broker.batch(batch_id)))
    else:
        here.out.say(f'Batch {batch_id} is cancelled.')


async def _id_of(broker: 'BrokerClient', text: str) -> str:
    if text != jobs.LAST:
        return jobs.id_in(text, 'batch')
    if newest := await broker.batches(limit=1):
        return newest[0].batch_id
    raise CommandError('There is no batch yet.')


def _row(batch: protocol.Batch, now: float) -> tuple[object, ...]:
    return (
        batch.batch_id,
        batch.name,
        batch.user,
        shown(batch.opened_at, now),
        str(batch.total),
        str(batch.completed),
        str(batch.running),
        str(batch.dead),
        str(batch.cancelled),
        'ended' if batch.ended_at else 'open',
    )


def _dict(batch: protocol.Batch) -> dict[str, Any]:
    found = msgspec.structs.asdict(batch)
    return found | {'opened_at': iso(batch.opened_at), 'ended_at': iso(batch.ended_at)}
