"""``export``: jobs as a file for spreadsheets and programs."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from app.commands import jobs, moments, tables, telling
from app.commands.command import CommandError, Here, command, usage
from app.commands.views import counted, job_dict
from app.jobs import sheets
from broker import protocol

if TYPE_CHECKING:
    from broker.client import BrokerClient

SPREADSHEETS = {'xlsx', 'xlsm', 'xls', 'ods', 'numbers'}  # they would not open what else is in such a file

app = typer.Typer()


class Form(StrEnum):
    """What to write; Parquet is for tables of the statistics."""

    CSV = 'csv'
    JSON = 'json'
    NDJSON = 'ndjson'
    PARQUET = 'parquet'


@command(app, 'export')
async def export(
    here: Here,
    broker: 'BrokerClient',
    *,
    form: Annotated[
        Form | None, typer.Option('--format', help='By default by the name of the file, else csv.', show_default=False)
    ] = None,
    to: Annotated[Path | None, typer.Option('--to', help='The file to write; without it, stdout.')] = None,
    state: jobs.States = None,
    model: jobs.Model = '',
    user: jobs.User = '',
    parent: jobs.Parent = '',
    since: Annotated[
        str, typer.Option('--since', metavar='LENGTH', help='Only those queued in this time, like 7d.')
    ] = '',
    texts: Annotated[bool, typer.Option('--answers', help='With the text of the answers.')] = False,
    table: Annotated[
        str,
        typer.Option(
            '--table', metavar='NAME', help='A table of the statistics instead, like jobs_ended; also Parquet.'
        ),
    ] = '',
) -> None:
    """Write jobs, oldest first, as CSV or JSON, or a table of the statistics."""
    form = form or _by_name(to) or (Form.JSON if here.out.as_json else Form.CSV)
    after = _since(since)
    if table:
        if state or model or user or parent or texts:
            raise usage('--table goes with --since, --format and --to only.')
        return await asyncio.to_thread(tables.export, here, table, form.value, after, to)
    if form is Form.PARQUET:
        raise usage('--format parquet is for tables of the statistics; name one with --table.')
    wanted = protocol.FindJobs(states=tuple(state or ()), model=model, user=user, parent=parent)
    count = 0
    with _target(to) as file, here.out.progress('Writing jobs', None, printing=to is None) as progress:
        write, end = sheets.writer(sheets.Kind(form.value), file, texts=texts)
        async for job in broker.find_all(wanted):
            if job.queued_at < after:
                continue
            row = job_dict(job)
            if texts:
                lines = (await broker.read_all(job.job_id, job.epoch)).lines
                row |= telling.answer_dict(job, lines)
            write(row)
            count += 1
            progress.reach(count)
        end()
    if to:
        here.out.note(f'{counted(count, "job is", "jobs are")} in {to}.')


def _by_name(to: Path | None) -> Form | None:
    suffix = to.suffix.lower().lstrip('.') if to else ''
    if suffix in SPREADSHEETS:
        raise usage(f'--to {to} is not allowed: workbooks are not written; spreadsheets open .csv, too.')
    return Form.NDJSON if suffix == 'jsonl' else next((form for form in Form if form == suffix), None)


def _since(text: str) -> float:
    try:
        return time.time() - moments.length_s(text) if text else 0.0
    except ValueError as error:
        raise usage(f'--since {text} is not allowed: {error}.') from None


@contextlib.contextmanager
def _target(to: Path | None) -> Iterator[IO[str]]:
    if to is None:
        yield sys.stdout
        return
    try:
        with to.expanduser().open('w', encoding='utf-8', newline='') as file:
            yield file
    except OSError as error:
        raise CommandError(f'{to} cannot be written: {(error.strerror or str(error)).lower()}.') from None
