"""``dead``: jobs that failed for good."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import jobs, moments
from app.commands.command import CommandError, Here, command, usage
from app.commands.views import JOB_COLUMNS, counted, job_dict, job_row
from broker import protocol
from broker.job import State

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer(no_args_is_help=True, help='Jobs that failed for good: look at them, do them again, remove them.')
JobId = Annotated[str, typer.Argument(metavar='ID', help='Only this job.', show_default=False)]


@command(app, 'list')
async def list_dead(
    here: Here,
    broker: 'BrokerClient',
    *,
    model: jobs.Model = '',
    user: jobs.User = '',
    parent: jobs.Parent = '',
    limit: Annotated[int, typer.Option('--limit', '-n', min=1, max=100_000, help='So many at most.')] = 20,
) -> None:
    """Jobs that failed for good, newest first, with the reason."""
    wanted = protocol.FindJobs(states=(State.DEAD,), model=model, user=user, parent=parent)
    found, _ = await jobs.newest(here, broker, wanted, limit)
    if here.out.as_json:
        here.out.document([job_dict(job) for job in found])
    else:
        here.out.table(JOB_COLUMNS, [job_row(job, time.time()) for job in found], empty='No job has failed for good.')


@command(app, 'replay')
async def replay(
    here: Here,
    broker: 'BrokerClient',
    *,
    job_id: JobId = '',
    everything: Annotated[bool, typer.Option('--all', help='All that match.')] = False,
    model: jobs.Model = '',
    user: jobs.User = '',
    parent: jobs.Parent = '',
) -> int:
    """Do one job, or all that match, again as new jobs; each is done once however often this is called."""
    if job_id:
        return await jobs.replay(here, broker, [job_id])
    if not (everything or model or user or parent):
        raise usage('Name a job, or say which ones with --model, --user, --parent or --all.')
    with here.out.progress('Queueing again', None):
        count = await broker.replay_all(model=model, user=user, parent=parent)
    _tell(here, count, 'is queued again', 'are queued again')
    return 0


@command(app, 'purge')
async def purge(
    here: Here,
    broker: 'BrokerClient',
    job_id: JobId = '',
    older: Annotated[
        str, typer.Option('--older', metavar='LENGTH', help='All that ended longer ago than this, like 7d; 0 is all.')
    ] = '',
) -> None:
    """Remove one job, or all that ended long enough ago, with question and answer."""
    if bool(job_id) == bool(older):
        raise usage('Name a job, or say with --older how old they have to be, like 7d; 0 is all.')
    try:
        before = time.time() - moments.length_s(older) if older else 0.0
    except ValueError as error:
        raise usage(f'--older {older} is not allowed: {error}.') from None
    if job_id:
        job_id = await jobs.job_id_of(broker, job_id)
        if (await broker.get(job_id)).job.state is not State.DEAD:
            raise CommandError('Only a job that failed for good can be removed.')
    _tell(here, await broker.purge(job_id, before=before), 'is removed', 'are removed')


def _tell(here: Here, count: int, one: str, many: str) -> None:
    if here.out.as_json:
        here.out.document({'count': count})
    else:
        here.out.say(f'{counted(count, f"job {one}", f"jobs {many}")}.')
