"""The lines of a batch's input file: which jobs they make, and the lines that come out of these. Pure."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import msgspec

from app.api import openai_calls, openai_refusal, trouble
from app.api.trouble import Trouble
from broker import protocol
from broker.job import Job, State

MAX_LINES = 50_000
MAX_LINE_BYTES = protocol.MAX_BODY_BYTES - 64 * 1024  # a job says the same in a few more words
EXPIRED = ('batch_expired', 'This request could not be executed before the completion window expired.')
CANCELLED = ('batch_cancelled', 'This request could not be executed because the batch was cancelled.')
_NOT_KEPT = ('not_kept', 'The answer to this request is not kept any more.')


class Line(NamedTuple):
    """One request: its place in the file, from 1, its name, and what it asks."""

    number: int
    custom_id: str
    call: openai_calls.Call

    def job_ids(self, batch_id: str) -> list[str]:
        """Its jobs in the queue: always the same ones, so that sending them again makes no others."""
        return [
            hashlib.sha256(f'{batch_id} {self.number} {choice}'.encode()).hexdigest()[:32]
            for choice in range(len(self.call.natives))
        ]


class Answered(NamedTuple):
    """What became of one job of a line; ``job`` is None where the queue does not know it."""

    job: Job | None
    lines: list[bytes]


class _Written(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw
    method: str = 'POST'
    url: str = ''


def read(file: IO[bytes], endpoint: str) -> Iterator[Line | tuple[int, Trouble]]:
    """Each line of a file, or its number and what is wrong with it."""
    seen: set[bytes] = set()
    number = count = 0
    while data := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if not data.strip():
            continue
        count += 1
        try:
            if count > MAX_LINES:
                raise Trouble('too_many_lines', f'A batch may have {MAX_LINES} lines.')
            line = _line(data, number, endpoint)
            name = hashlib.sha256(line.custom_id.encode()).digest()[:12]  # the ids themselves may be long
            if name in seen:
                raise Trouble('duplicate_custom_id', f'{_short(line.custom_id)} was used before.', param='custom_id')
            seen.add(name)
        except Trouble as failure:
            yield number, failure
            if count > MAX_LINES or len(data) > MAX_LINE_BYTES:
                return  # where the next line begins is not known
        else:
            yield line


def submits(line: Line, batch_id: str, names: dict[str, str], **more: Any) -> list[protocol.Submit]:
    """The jobs of a line; ``names`` has the announced name for each model that is asked for."""
    model = names[line.call.asked.model or '']
    return [
        protocol.Submit(
            job_id=job_id,
            kind=line.call.kind,
            model=model,
            body=msgspec.json.encode({'model': model, **native}),
            parent=batch_id,
            **more,
        )
        for job_id, native in zip(line.job_ids(batch_id), line.call.natives, strict=True)
    ]


def result(line: Line, job_ids: Sequence[str], answers: Sequence[Answered], *, expired: bool) -> tuple[bytes, str]:
    """The line that comes out, and why it belongs to the errors: '' where it does not.

    ``expired``: the time of the batch was over, so that nobody has cancelled what did not run.
    """
    found = {'id': f'batch_req_{job_ids[0]}', 'custom_id': line.custom_id, 'response': None, 'error': None}
    for answered in answers:
        if (why := _unanswered(answered, expired)) is not None:
            return _encoded(found | {'error': {'code': why[0], 'message': why[1]}}), why[0]
    created = int(answers[0].job.ended_at) if answers[0].job else 0
    status, code = 200, ''
    dead = next((each.job for each in answers if each.job and each.job.state is State.DEAD), None)
    try:
        if dead is not None:
            raise trouble.of_code(dead.code, dead.detail)
        form = line.call.form(**line.call.told(job_ids[0], created))
        body = form.whole([answered.lines for answered in answers])
    except Trouble as failure:
        status, code = _refused(failure)
        body = msgspec.json.encode({'error': openai_refusal.error(failure)})
    except (msgspec.MsgspecError, UnicodeError, IndexError):
        status, code = 500, 'garbage'
        body = msgspec.json.encode({'error': openai_refusal.error(Trouble(code, 'The engine gave no sound answer.'))})
    response = {'status_code': status, 'request_id': job_ids[0], 'body': msgspec.Raw(body)}
    return _encoded(found | {'response': response}), code


def portions(found: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """So many at a time."""
    part: list[Any] = []
    for each in found:
        part.append(each)
        if len(part) == count:
            yield part
            part = []
    if part:
        yield part


def _line(data: bytes, number: int, endpoint: str) -> Line:
    if len(data) > MAX_LINE_BYTES:
        raise Trouble('line_too_long', f'A line may have {MAX_LINE_BYTES} bytes.')
    try:
        written = msgspec.json.decode(data.removeprefix(b'\xef\xbb\xbf') if number == 1 else data, type=_Written)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        detail = f'This line is not a request: {str(error) or "it is nested too deeply"}.'
        raise Trouble('invalid_json_line', detail) from None
    if not 0 < len(written.custom_id) <= 512:
        raise Trouble('invalid_custom_id', 'custom_id must have 1 to 512 characters.', param='custom_id')
    if written.method != 'POST':
        raise Trouble('invalid_method', 'method must be POST.', param='method')
    if written.url != endpoint:
        raise Trouble('invalid_url', f'url must be that of the batch, {endpoint}.', param='url')
    call = openai_calls.read(endpoint, bytes(written.body))
    alone = ('stream', 'background', 'previous_response_id')
    if wrong := next((name for name in alone if getattr(call.asked, name, None)), ''):
        raise Trouble('bad_request', f'{wrong} is not for lines of a batch.', param=f'body.{wrong}')
    return Line(number, written.custom_id, call)


def _unanswered(answered: Answered, expired: bool) -> tuple[str, str] | None:
    job = answered.job
    if job is None:
        return EXPIRED if expired else CANCELLED
    if job.state is State.CANCELLED:
        return EXPIRED if expired else CANCELLED
    if job.state is State.DEAD and job.code == 'deadline':
        return EXPIRED
    if job.state is State.COMPLETED and len(answered.lines) < job.lines:
        return _NOT_KEPT
    return None


def _refused(failure: Trouble) -> tuple[int, str]:
    return failure.status, failure.code


def _encoded(found: dict[str, Any]) -> bytes:
    return msgspec.json.encode(found) + b'\n'


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + '…'
