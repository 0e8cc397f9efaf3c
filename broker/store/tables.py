"""Jobs, facts and answers as rows of the tables, and back."""

import zlib
from collections.abc import Iterator, Sequence
from operator import attrgetter

import apsw
import msgspec

from broker import facts
from broker.actions import Persist
from broker.job import FINAL, PLAIN, Job, State, Terms

_quoted = '"{}"'.format
_COLUMNS = Job.__struct_fields__
_NAMES = ', '.join(map(_quoted, _COLUMNS))
_CHANGING = _COLUMNS[_COLUMNS.index('state') :]
# ``usage`` is the last of them, and the only one that is JSON
_UPDATE = f'UPDATE jobs SET priority = ?, {", ".join(f"{name} = ?" for name in _CHANGING)} WHERE "order" = ?'
SELECT = f'SELECT {_NAMES} FROM jobs'
_PLAINLY = [name for name in _COLUMNS if name not in ('terms', 'usage')]  # all but what is JSON
_plain_values = attrgetter(*_PLAINLY)
_INSERT = (
    f'INSERT INTO jobs ({", ".join(map(_quoted, (*_PLAINLY, "terms", "usage")))}) '
    f'VALUES ({", ".join("?" * len(_COLUMNS))})'
)
_changing_values = attrgetter('priority', *(name for name in _CHANGING if name != 'usage'))
_NO_USAGE = Job.__struct_defaults__[-1]  # what a job has until it is known
SHORT = 300  # bytes: not worth packing, or to be kept in memory
_AS_IT_IS = b'\0'  # what is packed begins otherwise
Row = tuple[str | int | float | bytes | None, ...]


class Rows:
    """What a batch puts into the tables: a job that has gone several steps in it gets one row, as it is in the end."""

    def __init__(self, changes: Sequence[Persist]) -> None:
        self.last: dict[str, Job] = {}
        self.others: list[Persist] = []  # those that other tables have a part in
        new: set[str] = set()
        self.bodies: list[tuple[str, bytes]] = []
        self._answers, self._facts = list[Row](), list[Row]()
        for change in changes:
            fact, job = change.fact, change.job
            job_id = fact.job_id if isinstance(fact, facts.JobFact) else None
            self._facts.append((fact.seq, job_id, facts.encode(fact).decode()))
            if job is not None:
                self.last[job.job_id] = job
                if type(fact) is facts.JobQueued:
                    new.add(job.job_id)
                if change.body is not None:
                    self.bodies.append((job.job_id, change.body))
                if change.answer:
                    self._answers.append((job.job_id, pack(change.answer)))
            if job_id is None or change.schedule is not None:
                self.others.append(change)
        self._new = [row_of(job) for job_id, job in self.last.items() if job_id in new]
        self._changed = [update_of(job) for job_id, job in self.last.items() if job_id not in new]

    def tables(self) -> Iterator[tuple[str, Sequence[Row]]]:
        """Statements, and the values for each of their runs."""
        yield _INSERT, self._new
        yield _UPDATE, self._changed
        yield 'INSERT INTO bodies VALUES (?, ?)', self.bodies
        yield 'INSERT INTO answers VALUES (?, ?)', self._answers
        yield 'INSERT INTO facts VALUES (?, ?, ?)', self._facts


def row_of(job: Job) -> Row:
    """All of a new job."""
    terms = '{}' if job.terms is PLAIN else msgspec.json.encode(job.terms).decode()
    return (*_plain_values(job), terms, _usage(job.usage))


def update_of(job: Job) -> Row:
    """What of a job may have changed, and its place."""
    return (*_changing_values(job), _usage(job.usage), job.order)


def _usage(usage: facts.Usage) -> str:
    return '{}' if usage is _NO_USAGE else msgspec.json.encode(usage).decode()


def job_of(row: 'tuple[apsw.SQLiteValue, ...]') -> Job:
    """The job that ``SELECT`` found."""
    values = dict(zip(_COLUMNS, row, strict=True))
    usage = msgspec.json.decode(str(values['usage']), type=facts.Usage)
    terms = msgspec.json.decode(str(values['terms']), type=Terms) if values['terms'] != '{}' else PLAIN
    job = Job(**{**values, 'usage': usage, 'terms': terms, 'state': State(str(values['state']))})  # type: ignore[arg-type]
    assert (job.ended_at > 0) == (job.state in FINAL), job
    return job


def blob(value: 'apsw.SQLiteValue') -> bytes:
    """A value that is known to be bytes."""
    assert isinstance(value, bytes)
    return value


def pack(lines: tuple[bytes, ...]) -> bytes:
    """An answer as it is stored."""
    text = b'\n'.join(lines)
    if len(text) < SHORT:
        return _AS_IT_IS + text
    return zlib.compress(text, 1)  # NDJSON repeats itself: about a tenth is left


def beginning(blob: bytes, most: int) -> bytes:
    """The first lines of an answer, so many bytes at most; none where the first line is longer."""
    text = blob[1 : most + 2] if blob.startswith(_AS_IT_IS) else zlib.decompressobj().decompress(blob, most + 1)
    return text if len(text) <= most else text[: text.rfind(b'\n', 0, most) + 1]


def unpack(blob: bytes) -> list[bytes]:
    """The lines of a stored answer."""
    text = blob[1:] if blob.startswith(_AS_IT_IS) else zlib.decompress(blob)
    return text.split(b'\n')
