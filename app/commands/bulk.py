"""``submit batch``: many jobs at once, one by line."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.commands import jobs, request, telling
from app.commands.command import CommandError, Exit, Here, command, usage
from app.commands.request import Wish
from app.commands.views import counted, job_dict
from broker import protocol
from broker.job import State

if TYPE_CHECKING:
    from broker.client import BrokerClient

AT_ONCE, AT_ONCE_BYTES = 200, 1_000_000
LONGEST_PAUSE_S = 5.0  # when the queue is full
_OURS = ('kind', 'model', 'priority', 'prompt', 'system')  # keys of a line; others go to the engine as they are

app = typer.Typer()


class Kind(StrEnum):
    """What a line is."""

    CHAT = 'chat'
    GENERATE = 'generate'
    EMBED = 'embed'


@command(app, 'batch')
async def batch(
    here: Here,
    broker: 'BrokerClient',
    *,
    wish: Wish,
    file: Annotated[
        list[str] | None, typer.Argument(metavar='FILE…', help='Files with lines; without one, stdin.')
    ] = None,
    more: Annotated[list[str] | None, typer.Option('--file', '-f', help='The same as an option.')] = None,
    kind: Annotated[Kind, typer.Option('--kind', '-k', help='What a line is, where it does not say so.')] = Kind.CHAT,
    system: Annotated[str, typer.Option('--system', help='The system prompt of each.', show_default=False)] = '',
    name: Annotated[str, typer.Option('--name', help='What to call the batch.', show_default=False)] = '',
    wait: Annotated[
        bool, typer.Option('--wait', '-w', help='Print each answer as a line of JSON; on Ctrl-C the batch goes on.')
    ] = False,
) -> int:
    """Queue many jobs as one batch: each line is a prompt, or a JSON object such as {"prompt": …, "model": …}."""
    from broker.client import new_job_id

    lines = request.lines([*(file or []), *(more or [])] or ['-'])
    if not lines:
        raise usage('There is no line to queue.')
    wish = dataclasses.replace(wish, after=[await jobs.job_id_of(broker, each) for each in wish.after or ()])
    orders = [_order(line, number, kind, system, wish) for number, line in enumerate(lines, start=1)]
    wanted = [order for order in orders if not order.wish.model]
    if wanted:
        model = await request.model_for(broker, wish.model, kind)
        orders = [order if order.wish.model else order.of(model) for order in orders]
    batch_id = new_job_id()
    made = [order.submit(batch_id, time.time()) for order in orders]  # what is wrong with them is said before
    await broker.open_batch(batch_id, len(orders), name=name, user=wish.user)
    await _queue(here, broker, batch_id, made)
    if wait:
        return await results(here, broker, batch_id, len(orders))
    if here.out.as_json:
        here.out.document({'batch_id': batch_id, 'total': len(orders)})
    else:
        here.out.text(batch_id)
        if here.out.on_terminal:
            here.out.note(f'{counted(len(orders), "job is", "jobs are")} queued. How far: batch show {batch_id}')
    return Exit.OK


async def results(here: Here, broker: 'BrokerClient', batch_id: str, total: int) -> int:
    """Print the answers of a batch as lines of JSON, in the order of its jobs, as soon as they are there."""
    failed = number = 0
    try:
        with here.out.progress('Answers', total, printing=True) as progress:
            async for job, lines in broker.batch_results(batch_id):
                number += 1
                failed += job.state is not State.COMPLETED
                here.out.line({'line': number, **job_dict(job), **telling.answer_dict(job, lines)})
                progress.reach(number)
    except asyncio.CancelledError:
        here.out.note(f'The batch goes on; "batch results {batch_id}" goes on with it.')
        raise
    if failed:
        here.out.note(f'{failed} of {counted(number, "job has", "jobs have")} no complete answer.')
    return Exit.FAILED if failed else Exit.OK


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Order:
    """One line."""

    number: int
    kind: str
    fields: dict[str, Any]
    wish: Wish

    def of(self, model: str) -> '_Order':
        return dataclasses.replace(self, wish=dataclasses.replace(self.wish, model=model))

    def submit(self, batch_id: str, now: float) -> protocol.Submit:
        body = {'model': self.wish.model, **self.fields}
        data = msgspec.json.encode(body)
        try:
            return request.submit(self.kind, self.wish.model, data, self.wish, now, parent=batch_id)
        except CommandError as error:
            raise CommandError(f'Line {self.number}: {error}', error.code) from None


def _order(line: str, number: int, kind: str, system: str, wish: Wish) -> _Order:
    given: dict[str, Any] = {'prompt': line}
    if line.lstrip().startswith('{'):
        given = request.json_object(line, f'Line {number}')
    if 'user' in given:
        raise usage(f'Line {number}: all jobs of a batch are for one user, and --user says for whom.')
    kind = given.get('kind') or ('embed' if 'input' in given else 'chat' if 'messages' in given else kind)
    if kind not in set(Kind):
        raise usage(f'Line {number}: kind {kind} is not allowed: it should be one of {", ".join(Kind)}.')
    fields = {key: value for key, value in given.items() if key not in _OURS}
    prompt, system = given.get('prompt'), given.get('system') or system
    needed = {'chat': 'messages', 'generate': 'prompt', 'embed': 'input'}[kind]
    if needed not in given and prompt is None:
        raise usage(f'Line {number} has neither "prompt" nor "{needed}".')
    if kind == 'chat' and 'messages' not in fields:
        said = [{'role': 'system', 'content': system}] if system else []
        fields['messages'] = [*said, {'role': 'user', 'content': prompt}]
    elif kind == 'generate':
        fields |= {'prompt': prompt} | ({'system': system} if system else {})
    elif kind == 'embed' and 'input' not in fields:
        fields['input'] = [prompt]
    if kind != 'embed':
        fields['stream'] = True
    own: dict[str, Any] = {key: str(given[key]) for key in ('model', 'priority') if given.get(key) not in (None, '')}
    key = f'{wish.key}:{number}' if wish.key else ''
    return _Order(
        number=number,
        kind=str(kind),
        fields={**request.options(wish), **fields},
        wish=dataclasses.replace(wish, key=key, **own),
    )


async def _queue(here: Here, broker: 'BrokerClient', batch_id: str, jobs: Sequence[protocol.Submit]) -> None:
    """Queue them all, no faster than the queue takes them. What breaks off takes the batch back."""
    done = 0
    try:
        with here.out.progress('Queueing', len(jobs)) as progress:
            for part in _parts(jobs):
                left = part
                while left:
                    left, pause_s = await _queue_part(broker, left)
                    progress.reach(done + len(part) - len(left))
                    if left:
                        await asyncio.sleep(min(pause_s or 1.0, LONGEST_PAUSE_S))
                done += len(part)
    except (asyncio.CancelledError, CommandError):
        await broker.cancel_batch(batch_id)
        here.out.note(f'Batch {batch_id} was cancelled.')
        raise


async def _queue_part(
    broker: 'BrokerClient', part: list[tuple[int, protocol.Submit]]
) -> tuple[list[tuple[int, protocol.Submit]], float]:
    """Queue some; those that found no room, and how long to wait for it. Raises ``CommandError``."""
    left, pause_s = [], 0.0
    for (number, job), result in zip(part, await broker.submit_many(job for _, job in part), strict=True):
        if isinstance(result, protocol.Refused):
            if result.code != 'queue_full':
                raise CommandError(f'Line {number} was refused: {result.detail}.')
            left.append((number, job))
            pause_s = max(pause_s, result.retry_after_s)
    return left, pause_s


def _parts(jobs: Sequence[protocol.Submit]) -> Iterator[list[tuple[int, protocol.Submit]]]:
    """As many at a time as go into one message, with their numbers."""
    part, size = list[tuple[int, protocol.Submit]](), 0
    for number, job in enumerate(jobs, start=1):
        if part and (len(part) >= AT_ONCE or size + len(job.body) > AT_ONCE_BYTES):
            yield part
            part, size = [], 0
        part.append((number, job))
        size += len(job.body)
    if part:
        yield part
