"""Tables of the analytics file as Parquet, CSV or JSON, for buttons and the command line."""

import asyncio
import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from analytics import cells, dictionary, parquet_file, store

Form = Literal['csv', 'json', 'ndjson', 'parquet']
FORMS: tuple[Form, ...] = ('csv', 'json', 'ndjson', 'parquet')
PORTION = 20_000  # rows at a time
CHUNK = 1 << 18  # bytes of a file at a time
_PLACE = '.export-'


async def table(
    source: store.Store, name: str, form: Form, *, since: float, until: float, folder: Path
) -> AsyncIterator[bytes]:
    """The rows of a table whose ``happened_at`` is in the range, oldest first, as a file in pieces; CSV is UTF-8 with a
    mark in front that tells Excel so.

    Parquet is written in ``folder`` first, for its owner alone, and removed again. Raises ``ValueError`` for a table or
    form that there is not.
    """
    columns = next((each.columns for each in dictionary.tables() if each.name == name), None)
    if columns is None:
        raise ValueError(f'there is no table {name}; the tables are: {", ".join(dictionary.TABLES)}')
    if form not in FORMS:
        raise ValueError(f'there is no form {form}; the forms are: {", ".join(FORMS)}')
    names = [column.name for column in columns]
    pages = _pages(source, name, names, since, until)
    if form != 'parquet':
        async for piece in _written(form, names, pages):
            yield piece
        return
    with tempfile.TemporaryDirectory(prefix=_PLACE, dir=folder) as place:
        lines, target = Path(place) / 'rows.ndjson', Path(place) / f'{name}.parquet'
        with os.fdopen(os.open(lines, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), 'wb') as file:
            async for piece in _written('ndjson', names, pages):
                await asyncio.to_thread(file.write, piece)
        types = {column.name: column.type for column in columns}
        await asyncio.to_thread(parquet_file.write, lines, target, types)
        target.chmod(0o600)
        with target.open('rb') as finished:
            while piece := finished.read(CHUNK):
                yield piece


def sweep(folder: Path) -> None:
    """Remove what exports left there that were broken off by the end of the program."""
    for place in folder.glob(f'{_PLACE}*'):
        shutil.rmtree(place, ignore_errors=True)


async def _pages(
    source: store.Store, name: str, names: list[str], since: float, until: float
) -> AsyncIterator[list[tuple[Any, ...]]]:
    """Rows in the order in which they came; ``rowid`` makes each page a short look-up."""
    listed = ', '.join(f'"{column}"' for column in names)
    sql = (
        f'SELECT rowid, {listed} FROM {name} WHERE rowid > $after AND happened_at >= $since AND happened_at < $until '
        'ORDER BY rowid LIMIT $portion'
    )
    after = -1
    while True:
        found = await source.read(sql, {'after': after, 'since': since, 'until': until, 'portion': PORTION})
        if not found:
            return
        after = found[-1][0]
        yield [row[1:] for row in found]


async def _written(form: Form, names: list[str], pages: AsyncIterator[list[tuple[Any, ...]]]) -> AsyncIterator[bytes]:
    yield _begin(form, names)
    first = True
    async for page in pages:
        yield await asyncio.to_thread(_joined, form, names, page, first)  # it takes long enough for pages to notice
        first = False
    yield _end(form, not first)


def _joined(form: Form, names: Sequence[str], lines: Sequence[Sequence[object]], first: bool) -> bytes:
    return b''.join(_pieces(form, names, lines, first=first))


def _begin(form: Form, names: Sequence[str]) -> bytes:
    return cells.BOM.encode() + _csv([names]) if form == 'csv' else b'[\n' if form == 'json' else b''


def _end(form: Form, any_rows: bool) -> bytes:
    return (b'\n]\n' if any_rows else b']\n') if form == 'json' else b''


def _pieces(form: Form, names: Sequence[str], lines: Sequence[Sequence[object]], *, first: bool) -> Iterator[bytes]:
    if form == 'csv':
        yield _csv([[_cell(value) for value in line] for line in lines])
        return
    encoded = (json.dumps(dict(zip(names, line, strict=True)), ensure_ascii=False) for line in lines)
    joint = ',\n' if form == 'json' else '\n'
    text = joint.join(encoded)
    if form == 'json':
        yield (('' if first else ',\n') + text).encode()
    elif text:
        yield (text + '\n').encode()


def _csv(lines: Sequence[Sequence[object]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(lines)
    return file.getvalue().encode()


def _cell(value: object) -> object:
    return cells.harmless(value.replace('\x00', '')) if isinstance(value, str) else value
