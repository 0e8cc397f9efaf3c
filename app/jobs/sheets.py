"""Jobs as a file for spreadsheets and programs: CSV, JSON, or a JSON object a line."""

import csv
import json
from collections.abc import Callable
from enum import StrEnum
from typing import IO, Any

from analytics import cells
from app.commands.terminal import clean, escape_json
from app.commands.views import job_dict
from broker.job import Job

_USAGE = ('prompt_tokens', 'output_tokens', 'load_s', 'first_token_s', 'total_s', 'done_reason')
_TEXTS = ('text', 'embeddings', 'status', 'thinking')


class Kind(StrEnum):
    """What to write."""

    CSV = 'csv'
    JSON = 'json'
    NDJSON = 'ndjson'


Write = Callable[[dict[str, Any]], None]
End = Callable[[], None]


def writer(kind: Kind, file: IO[str], *, texts: bool = False, more: tuple[str, ...] = ()) -> tuple[Write, End]:
    """How to write a row (``job_dict`` and, with ``texts``, an answer; ``more`` columns), and how to end the file."""
    if kind is Kind.CSV:
        return _csv(file, (*(_TEXTS if texts else ()), *more))
    return _json(file) if kind is Kind.JSON else _ndjson(file)


def cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: whoever named a user so must not run one there."""
    if isinstance(value, list):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    return cells.harmless(clean(value))


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without tables in it."""
    usage = row['usage']
    plain = {name: value for name, value in row.items() if name != 'usage'}
    return plain | {name: usage[name] for name in _USAGE} | {'after': ' '.join(row['after'])}


def _csv(file: IO[str], more: tuple[str, ...]) -> tuple[Write, End]:
    fields = [name for name in job_dict(_NO_JOB) if name not in ('usage', 'after')]
    written = csv.DictWriter(file, [*fields, *_USAGE, 'after', *more])
    written.writeheader()

    def write(row: dict[str, Any]) -> None:
        written.writerow({name: cell(value) for name, value in flat(row).items()})

    return write, lambda: None


def _json(file: IO[str]) -> tuple[Write, End]:
    begun = False

    def write(row: dict[str, Any]) -> None:
        nonlocal begun
        print(',' if begun else '[', _encoded(row), sep='\n', file=file, end='\n')
        begun = True

    def end() -> None:
        print(']' if begun else '[]', file=file)

    return write, end


def _ndjson(file: IO[str]) -> tuple[Write, End]:
    def write(row: dict[str, Any]) -> None:
        print(_encoded(row), file=file)

    return write, lambda: None


_NO_JOB = Job(job_id='', order=0, kind='', model='', priority=0, queued_at=0.0)


def _encoded(row: dict[str, Any]) -> str:
    return escape_json(json.dumps(row, ensure_ascii=False))
