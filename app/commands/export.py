"""``export``: jobs as a file for spreadsheets and programs."""

import contextlib
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from app.commands import jobs, moments, telling
from app.commands.command import CommandError, Here, command, usage
from app.commands.terminal import clean, escape_json
from app.commands.views import job_dict
from broker import protocol
from broker.job import Job

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer()
_USAGE = ('prompt_tokens', 'output_tokens', 'load_s', 'first_token_s', 'total_s', 'done_reason')
_FORMULA = ('=', '+', '-', '@', '\t', '\r')


class Kind(StrEnum):
    """What to write."""

    CSV = 'csv'
    JSON = 'json'
    NDJSON = 'ndjson'


@command(app, 'export')
async def export(
    here: Here,
    broker: 'BrokerClient',
    *,
    form: Annotated[
        Kind | None, typer.Option('--format', help='By default by the name of the file, else csv.', show_default=False)
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
) -> None:
    """Write jobs, oldest first, as CSV or JSON."""
    kind = form or _by_name(to) or (Kind.JSON if here.out.as_json else Kind.CSV)
    after = _since(since)
    wanted = protocol.FindJobs(states=tuple(state or ()), model=model, user=user, parent=parent)
    count = 0
    with _target(to) as file, here.out.progress('Writing jobs', None, printing=to is None) as progress:
        write, end = _WRITERS[kind](file, texts)
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
        here.out.note(f'{count} jobs are in {to}.')


def _csv(file: IO[str], texts: bool) -> tuple[Callable[[dict[str, Any]], None], Callable[[], None]]:
    fields = [name for name in job_dict(_NO_JOB) if name not in ('usage', 'after')]
    writer = csv.DictWriter(
        file, [*fields, *_USAGE, 'after', *(['text', 'embeddings', 'status', 'thinking'] if texts else [])]
    )
    writer.writeheader()

    def write(row: dict[str, Any]) -> None:
        usage = row.pop('usage')
        row |= {name: usage[name] for name in _USAGE} | {'after': ' '.join(row['after'])}
        writer.writerow({name: _cell(value) for name, value in row.items()})

    return write, lambda: None


def _json(file: IO[str], texts: bool) -> tuple[Callable[[dict[str, Any]], None], Callable[[], None]]:
    begun = False

    def write(row: dict[str, Any]) -> None:
        nonlocal begun
        print(',' if begun else '[', _encoded(row), sep='\n', file=file, end='\n')
        begun = True

    def end() -> None:
        print(']' if begun else '[]', file=file)

    return write, end


def _ndjson(file: IO[str], texts: bool) -> tuple[Callable[[dict[str, Any]], None], Callable[[], None]]:
    def write(row: dict[str, Any]) -> None:
        print(_encoded(row), file=file)

    return write, lambda: None


_WRITERS = {Kind.CSV: _csv, Kind.JSON: _json, Kind.NDJSON: _ndjson}
_NO_JOB = Job(job_id='', order=0, kind='', model='', priority=0, queued_at=0.0)


def _encoded(row: dict[str, Any]) -> str:
    return escape_json(json.dumps(row, ensure_ascii=False))


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: whoever named a user so must not run one there."""
    if isinstance(value, list):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    value = clean(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


def _by_name(to: Path | None) -> Kind | None:
    suffix = to.suffix.lower().lstrip('.') if to else ''
    return Kind.NDJSON if suffix == 'jsonl' else next((kind for kind in Kind if kind == suffix), None)


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
