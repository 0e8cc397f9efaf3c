"""The chat page at work without a browser: another model is picked for what waits, and a failed job tells its past."""

import asyncio
import contextlib

from nicegui.testing import user_simulation

from app.components.inspector import Inspector
from app.components.transcript import Transcript
from app.pages import chat as page
from app.parts import Parts
from app.shelf.shelf import Shelf
from app.shell import frame
from broker import protocol
from tests.app.chats.chatting import lines


@contextlib.asynccontextmanager
async def opened(setup, conversation):
    shelf = await Shelf.open(setup.service)
    parts = Parts(settings=setup.settings, board=setup.board, broker=setup.broker, chat=setup.service, shelf=shelf)
    async with user_simulation(root=lambda: frame.create(parts, {'/chat': lambda: page.create(parts)})) as user:
        await user.open(f'/chat/{conversation.id}')
        await until(lambda: only(user, Transcript).messages)
        yield user


def only(user, kind):
    return next(iter(user.find(kind=kind).elements))


def wish(element, name, args):
    """What the browser sends when a button is pressed."""
    [listener] = [each for each in element._event_listeners.values() if each.type == name]
    element._handle_event({'listener_id': listener.id, 'args': args})


async def test_the_other_model_takes_the_place_of_the_one_that_waits(setup):
    setup.broker.worker('other', models=('quick',))
    talk = await setup.service.send(None, 'hello', 'm', 5)
    await setup.settle()
    old = await setup.answer_of(talk)
    async with opened(setup, talk) as user:
        wish(only(user, Transcript), 'other', [old.job_id, 'nobody has this'])
        wish(only(user, Transcript), 'other', [old.job_id, 'quick'])
        await until(lambda: only(user, Transcript).messages[-1]['model'] == 'quick')
        shown = only(user, Transcript).messages
        assert [(each['id'], each['role']) for each in shown][1] == (old.id, 'assistant') and len(shown) == 2
        assert shown[1]['job'] != old.job_id


async def test_one_that_has_started_meanwhile_is_left_and_the_page_says_so(setup):
    setup.broker.worker('other', models=('quick',))
    talk = await setup.service.send(None, 'hello', 'm', 5)
    await setup.settle()
    old = await setup.answer_of(talk)
    async with opened(setup, talk) as user:
        worker = setup.broker.worker()
        setup.broker.say(worker, protocol.Tokens(job_id=old.job_id, epoch=1, index=0, lines=lines('it is me')))
        wish(only(user, Transcript), 'other', [old.job_id, 'quick'])
        await until(lambda: user.notify.messages)
        assert user.notify.messages == ['It has just started, so it goes on as it is.']
        [shown] = [each for each in only(user, Transcript).messages if each['role'] == 'assistant']
        assert (shown['job'], shown['text'], shown['state']) == (old.job_id, 'it is me', 'running')


async def test_a_failed_answer_tells_every_attempt_in_the_inspector(setup):
    talk = await setup.service.send(None, 'hello', 'm', 5)
    await setup.settle()
    job_id = (await setup.answer_of(talk)).job_id
    worker = setup.broker.worker()
    failed = {'job_id': job_id, 'epoch': 1, 'code': 'engine_error', 'detail': 'why', 'trace': 'Traceback (…)'}
    setup.broker.say(worker, protocol.Failed(**failed, retryable=False))
    await setup.settle()
    async with opened(setup, talk) as user:
        await until(lambda: only(user, Inspector)._props['state']['attempts'])
        [attempt] = only(user, Inspector)._props['state']['attempts']
        told = (attempt['outcome'], attempt['code'], attempt['detail'], attempt['trace'])
        assert told == ('dead', 'engine_error', 'why', 'Traceback (…)')


async def until(condition):
    """Let the page go on until something is so."""
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110  the page has no event for it
            await asyncio.sleep(0.01)
