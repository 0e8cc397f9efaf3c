"""From what a user typed to a request for the queue."""

import base64
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.commands import moments
from app.commands.command import CommandError, usage
from app.commands.terminal import clean_line
from app.roster import Roster
from broker import protocol
from broker.job import AUTO_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY, MIN_PRIORITY

if TYPE_CHECKING:
    from broker.client import BrokerClient

NAMES = {'auto': AUTO_PRIORITY, 'realtime': 15, 'critical': 15, 'high': 10, 'normal': 5, 'low': 1, 'batch': 0}
_PICTURES = (b'\x89PNG\r\n', b'\xff\xd8\xff', b'GIF8', b'RIFF', b'BM')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wish:
    """What may be asked of any job."""

    model: Annotated[
        str, typer.Option('--model', '-m', help='Which model; not needed where there is one.', show_default=False)
    ] = ''
    priority: Annotated[
        str, typer.Option('--priority', '-p', metavar='0-15|auto', help='Higher goes first; low, normal, high too.')
    ] = str(DEFAULT_PRIORITY)
    user: Annotated[
        str, typer.Option('--user', '-u', help='For whom: users share the machines fairly.', show_default=False)
    ] = ''
    key: Annotated[
        str, typer.Option('--key', help='The same request with the same key is one job.', show_default=False)
    ] = ''
    after: Annotated[
        list[str] | None,
        typer.Option('--after', metavar='ID', help='Wait for this job; {{1}} in the prompt is its answer. Repeatable.'),
    ] = None
    at: Annotated[
        str, typer.Option('--at', metavar='TIME', help='Not before: 18:30, 2026-12-01T08:00.', show_default=False)
    ] = ''
    delay: Annotated[
        str, typer.Option('--delay', metavar='LENGTH', help='Not before that long from now: 10m.', show_default=False)
    ] = ''
    deadline: Annotated[
        str, typer.Option('--deadline', metavar='TIME', help='Give up when not begun by then.', show_default=False)
    ] = ''
    option: Annotated[
        list[str] | None,
        typer.Option('--option', metavar='NAME=VALUE', help='For the engine, like temperature=0. Repeatable.'),
    ] = None


def priority(text: str) -> int:
    """``0`` to ``15``, ``auto``, or a name. Raises ``CommandError``."""
    word = text.strip().lower()
    if word in NAMES:
        return NAMES[word]
    if word.isascii() and word.isdigit() and MIN_PRIORITY <= int(word[:4]) <= MAX_PRIORITY:
        return int(word)
    names = ', '.join(NAMES)
    raise usage(f'--priority {text} is not allowed: it should be {MIN_PRIORITY} to {MAX_PRIORITY} or one of {names}.')


def options(wish: Wish) -> dict[str, Any]:
    """``options`` of the body by ``--option``: values are JSON where they can be, else text."""
    found: dict[str, Any] = {}
    for text in wish.option or ():
        name, equals, value = text.partition('=')
        if not equals or not name:
            raise usage(f'--option {text} is not allowed: it should be a name and a value, like temperature=0.')
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return {'options': found} if found else {}


def submit(
    kind: str, model: str, body: bytes, wish: Wish, now: float, *, path: str = '', job_id: str = '', parent: str = ''
) -> protocol.Submit:
    """The request for one job. Raises ``CommandError``."""
    from broker.client import new_job_id

    if wish.at and wish.delay:
        raise usage('--at and --delay say the same; give only one of them.')
    due_at = _moment('--at', wish.at, now)
    if wish.delay:
        due_at = now + _length('--delay', wish.delay)
    return protocol.Submit(
        job_id=job_id or new_job_id(),
        kind=kind,
        model=model,
        body=body,
        path=path,
        priority=priority(wish.priority),
        user=wish.user,
        parent=parent,
        after=tuple(wish.after or ()),
        idempotency_key=wish.key,
        due_at=due_at,
        deadline_at=_moment('--deadline', wish.deadline, now),
    )


async def model_for(broker: 'BrokerClient', asked: str, kind: str) -> str:
    """The model as it was announced that ``asked`` means, or the only one there is. Raises ``CommandError``.

    A model that nobody has now is left as it is: its job waits for a machine that has it.
    """
    roster = Roster()
    roster.restore((await broker.staff()).workers)
    if asked:
        return roster.name_of(asked) or asked
    capability = 'embedding' if kind == 'embed' else 'completion'
    models = roster.models()
    fit = [model.name for model in models if capability in model.capabilities] or [model.name for model in models]
    if len(fit) == 1:
        return fit[0]
    if not fit:
        raise CommandError('No machine has a model now. Name one with --model and the job waits for it.')
    raise usage(f'Which model? Name it with --model: {", ".join(map(clean_line, fit))}.')


def prompt(argument: str, files: Sequence[str]) -> tuple[str, list[str]]:
    """The prompt with the texts of ``files`` below it, and their pictures in base64. Raises ``CommandError``."""
    texts, images = [argument] if argument else [], []
    for name in files or ([] if argument else ['-']):
        data = _read(name)
        if data.startswith(_PICTURES):
            images.append(base64.b64encode(data).decode())
        else:
            texts.append(_text(name, data))
    text = '\n\n'.join(texts)
    if not text.strip() and not images:
        raise usage('There is no prompt: give it as an argument, with --file or on stdin.')
    return text, images


def lines(files: Iterable[str]) -> list[str]:
    """The lines of files that are not empty. Raises ``CommandError``."""
    return [line for name in files for line in _text(name, _read(name)).splitlines() if line.strip()]


def stdin_text(what: str) -> str:
    """All of stdin. Raises ``CommandError`` where somebody would have to type it."""
    return _text('-', _read('-', what))


def json_object(text: str, name: str) -> dict[str, Any]:
    """A JSON object. Raises ``CommandError``."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise usage(f'{name} is not a JSON object: {error}.') from None


def _read(name: str, what: str = 'a prompt') -> bytes:
    try:
        if name != '-':
            return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise usage(f'{name} cannot be read: {(error.strerror or str(error)).lower()}.') from None
    if sys.stdin is None or sys.stdin.isatty():
        raise usage(f'There is nothing to send: give {what} as an argument, or pipe it in.')
    return sys.stdin.buffer.read()


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode('utf-8-sig').rstrip('\n')
    except UnicodeDecodeError:
        raise usage(f'{"stdin" if name == "-" else name} is neither text in UTF-8 nor a picture.') from None


def _moment(flag: str, text: str, now: float) -> float:
    try:
        return moments.moment(text, now) if text else 0.0
    except ValueError as error:
        raise usage(f'{flag} {text} is not allowed: {error}.') from None


def _length(flag: str, text: str) -> float:
    try:
        return moments.length_s(text)
    except ValueError as error:
        raise usage(f'{flag} {text} is not allowed: {error}.') from None
