"""The past as a file: CSV, JSON and NDJSON as they are read, Parquet when all is there."""

import asyncio
import io
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from analytics import parquet_file
from app.commands.views import job_dict
from app.jobs import sheets
from app.parts import Parts
from app.past import book
from broker import protocol
from broker.job import Job

MEDIA = {
    'csv': 'text/csv; charset=utf-8',
    'json': 'application/json',
    'ndjson': 'application/x-ndjson',
    'parquet': 'application/vnd.apache.parquet',
}
CHUNK_CHARS = 64_000
_MORE = ('title', 'asked')
_COLUMNS = {
    **dict.fromkeys(('job_id', 'kind', 'model', 'user', 'conversation_id', 'parent', 'idempotency_key'), 'VARCHAR'),
    **dict.fromkeys(('priority', 'body_bytes', 'max_failures', 'epoch', 'starts', 'failures', 'losses'), 'BIGINT'),
    **dict.fromkeys(('queued_at', 'started_at', 'ended_at', 'due_at', 'deadline_at'), 'TIMESTAMPTZ'),
    **dict.fromkeys(('state', 'worker', 'engine', 'code', 'detail', 'schedule', 'path', 'after'), 'VARCHAR'),
    **dict.fromkeys(('lines', 'prompt_tokens', 'output_tokens'), 'BIGINT'),
    **dict.fromkeys(('load_s', 'first_token_s', 'total_s'), 'DOUBLE'),
    **dict.fromkeys(('done_reason', *_MORE), 'VARCHAR'),
}


async def lines(parts: Parts, asked: protocol.ListJobs, kind: sheets.Kind) -> AsyncIterator[str]:
    """The file, piece by piece. Raises ``errors.BrokerError``."""
    buffer = io.StringIO()
    if kind is sheets.Kind.CSV:
        buffer.write('\ufeff')  # or Excel takes UTF-8 for something else
    write, end = sheets.writer(kind, buffer, more=_MORE)
    async for job, excerpt in book.everything(parts, asked):
        write(_row(parts, job, excerpt))
        if buffer.tell() > CHUNK_CHARS:
            yield _taken(buffer)
    end()
    yield _taken(buffer)


async def parquet(parts: Parts, asked: protocol.ListJobs) -> tuple[Path, Callable[[], None]]:
    """A Parquet file, and how to remove it. Raises ``errors.BrokerError`` or ``AnalyticsError``."""
    folder = Path(tempfile.mkdtemp(prefix='corral-'))

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        plain, made = folder / 'jobs.ndjson', folder / 'jobs.parquet'
        with plain.open('w', encoding='utf-8') as file:
            async for job, excerpt in book.everything(parts, asked):
                row = {name: value if value != '' else None for name, value in _flat(parts, job, excerpt).items()}
                file.write(json.dumps(row) + '\n')
        await asyncio.to_thread(parquet_file.write, plain, made, _COLUMNS)
    except BaseException:
        remove()
        raise
    return made, remove


def _row(parts: Parts, job: Job, excerpt: str) -> dict[str, Any]:
    return job_dict(job) | {'title': parts.title_of(job.conversation_id), 'asked': excerpt}


def _flat(parts: Parts, job: Job, excerpt: str) -> dict[str, Any]:
    return sheets.flat(_row(parts, job, excerpt))


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
