"""``submit``: put a job into the queue, and where asked wait for its answer or print it as it comes."""

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from app.commands import answers, bulk, jobs, request, telling
from app.commands.command import Here, command, usage
from app.commands.request import Wish
from app.commands.views import counted
from broker import protocol

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer(no_args_is_help=True, help='Put a job into the queue. Without --stream or --wait it prints the id.')

Prompt = Annotated[list[str] | None, typer.Argument(metavar='PROMPT…', help='What to ask; without it, stdin.')]
System = Annotated[str, typer.Option('--system', help='The system prompt.', show_default=False)]
Files = Annotated[
    list[str] | None,
    typer.Option('--file', '-f', help='Put a text below the prompt, or a picture with it; "-" is stdin. Repeatable.'),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """What happens once the job is in the queue."""

    stream: Annotated[
        bool, typer.Option('--stream', '-s', help='Print the answer as it comes; Ctrl-C cancels the job.')
    ] = False
    wait: Annotated[bool, typer.Option('--wait', '-w', help='Wait for the answer; on Ctrl-C the job goes on.')] = False


@command(app, 'chat')
async def chat(
    here: Here,
    broker: 'BrokerClient',
    *,
    wish: Wish,
    how: How,
    prompt: Prompt = None,
    system: System = '',
    file: Files = None,
) -> int:
    """Ask a model, as a chat with one message."""
    text, images = request.prompt(' '.join(prompt or ()), file or [])
    message: dict[str, object] = {'role': 'user', 'content': text} | ({'images': images} if images else {})
    messages = [{'role': 'system', 'content': system}] if system else []
    return await _send(here, broker, 'chat', {'messages': [*messages, message]}, wish=wish, how=how)


@command(app, 'generate')
async def generate(
    here: Here,
    broker: 'BrokerClient',
    *,
    wish: Wish,
    how: How,
    prompt: Prompt = None,
    system: System = '',
    file: Files = None,
) -> int:
    """Have a model complete a text."""
    text, images = request.prompt(' '.join(prompt or ()), file or [])
    fields: dict[str, object] = {'prompt': text} | ({'images': images} if images else {})
    return await _send(here, broker, 'generate', fields | ({'system': system} if system else {}), wish=wish, how=how)


@command(app, 'embed')
async def embed(
    here: Here,
    broker: 'BrokerClient',
    *,
    wish: Wish,
    how: How,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar='TEXT…', help='Texts to embed; without any, each line of stdin is one.'),
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option('--file', '-f', help='Each line of a file is a text. Repeatable.')
    ] = None,
) -> int:
    """Turn texts into vectors."""
    texts = [*(text or []), *request.lines(file or ([] if text else ['-']))]
    if not texts:
        raise usage('There is nothing to embed: give texts as arguments, with --file or on stdin.')
    return await _send(here, broker, 'embed', {'input': texts}, wish=wish, how=how)


@command(app, 'raw')
async def raw(
    here: Here,
    broker: 'BrokerClient',
    *,
    wish: Wish,
    how: How,
    path: Annotated[str, typer.Argument(help='Where on the engine to post it, like /v1/rerank.', show_default=False)],
    body: Annotated[
        str, typer.Argument(metavar='JSON', help='The JSON object to post; without it, stdin.', show_default=False)
    ] = '',
) -> int:
    """Post JSON to any path of the engine, through the queue."""
    fields = request.json_object(body or request.stdin_text('a JSON object'), 'The body')
    model = wish.model or str(fields.get('model') or '')
    return await _send(here, broker, 'raw', fields, wish=dataclasses.replace(wish, model=model), how=how, path=path)


app.registered_commands += bulk.app.registered_commands  # submit batch


async def _send(
    here: Here,
    broker: 'BrokerClient',
    kind: str,
    fields: dict[str, object],
    *,
    wish: Wish,
    how: How,
    path: str = '',
) -> int:
    wish = dataclasses.replace(wish, after=[await jobs.job_id_of(broker, each) for each in wish.after or ()])
    model = await request.model_for(broker, wish.model, kind)
    body = {'model': model, **fields, **request.options(wish)}
    if kind in ('chat', 'generate'):
        body['stream'] = True
    job = request.submit(kind, model, msgspec.json.encode(body), wish, time.time(), path=path)
    try:
        accepted = await broker.submit(job)
    except asyncio.CancelledError:
        if how.stream:
            await telling.give_up(broker, job.job_id)
        raise
    if how.stream:
        if here.out.as_json:
            here.out.line({'type': 'queued', 'job_id': accepted.job_id, 'duplicate': accepted.duplicate})
        return await telling.stream(here, broker, accepted.job_id, kind)
    if how.wait:
        await telling.ended(here, broker, accepted.job_id)
        ended = (await broker.get(accepted.job_id)).job
        lines = (await broker.read_all(accepted.job_id, ended.epoch)).lines
        telling.answer(here, ended, lines)
        return telling.verdict(here, ended, answers.status(lines) if kind == 'raw' else 0)
    _acknowledge(here, accepted, await broker.get(accepted.job_id))
    return 0


def _acknowledge(here: Here, accepted: protocol.Accepted, state: protocol.JobState) -> None:
    if here.out.as_json:
        here.out.document(
            {
                'job_id': accepted.job_id,
                'duplicate': accepted.duplicate,
                'state': str(state.job.state),
                'priority': state.job.priority,
                'ahead': state.ahead if state.ahead >= 0 else None,
            }
        )
        return
    here.out.text(accepted.job_id)
    if here.out.on_terminal:
        ahead = f', {counted(state.ahead, "goes", "go")} first' if state.ahead > 0 else ''
        known = 'It was there before' if accepted.duplicate else 'Queued'
        here.out.note(f'{known}: {state.job.state}{ahead}. Its answer: result {accepted.job_id} --wait')
