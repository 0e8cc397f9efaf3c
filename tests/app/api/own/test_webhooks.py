"""Webhooks: what is told, how it is signed, and that nothing is lost on the way."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.api.own import dispatch, outbox, signature
from app.api.own.bulletin import Bulletin
from app.api.own.dispatch import Dispatch
from app.api.own.outbox import Outbox, OutboxError, Webhook
from app.api.own.post import Answer, Failed
from broker import protocol
from tests.app.api.own.conftest import problem
from tests.app.news import News
from tests.conftest import PATIENCE_S, wait_for

whole = pytest.mark.whole


class Receiver:
    """Somebody's server. ``answers`` are given in turn, as status and headers, then 204."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.at: list[float] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.at.append(time.time())
                body = self.rfile.read(int(self.headers['Content-Length']))
                receiver.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}/hook?a=b'

    def wait(self, count: int = 1) -> list[dict[str, Any]]:
        wait_for(lambda: len(self.messages) >= count, 40, f'{count} messages')
        return [json.loads(body) for _, body in self.messages]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def hook(http, receiver):
    """Make a webhook for the receiver."""
    made = []

    def hook(**fields: Any) -> dict[str, Any]:
        reply = http.post('/api/webhooks', json={'url': receiver.url} | fields)
        assert reply.status_code == 201, reply.text
        made.append(reply.json()['id'])
        return reply.json()

    yield hook
    for webhook_id in made:
        http.delete(f'/api/webhooks/{webhook_id}')


def verified(secret: str, headers: dict[str, str], body: bytes, now: float) -> bool:
    """What a receiver does, written down from the standard and not from our code."""
    key = base64.b64decode(secret[6:], validate=True)
    assert secret[:6] == 'whsec_' and len(key) >= 24
    sent_at = headers['webhook-timestamp']
    if abs(now - int(sent_at)) > 300:
        return False
    content = b'.'.join((headers['webhook-id'].encode(), sent_at.encode(), body))
    expected = b'v1,' + base64.b64encode(hmac.digest(key, content, hashlib.sha256))
    return any(hmac.compare_digest(expected, each.encode()) for each in headers['webhook-signature'].split(' '))


@whole
def test_a_finished_job_is_told_and_signed(hook, receiver, ask):
    made = hook(events=['JobCompleted', 'JobDied'])
    job = ask()
    (message,) = receiver.wait()
    headers, body = receiver.messages[0]
    assert message['type'] == 'JobCompleted' and message['data']['job_id'] == job['id']
    assert message['timestamp'].endswith('Z') and headers['content-type'] == 'application/json'
    assert verified(made['secret'], headers, body, time.time())
    assert not verified(made['secret'], headers, body + b' ', time.time())
    assert not verified(made['secret'], headers, body, time.time() + 301)
    assert not verified(signature.new_secret(), headers, body, time.time())


@whole
def test_the_signature_is_the_one_of_the_standards_own_example():
    secret, body = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', b'{"test": 2432232314}'
    told = signature.headers(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body)
    assert told['webhook-signature'] == 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='


@whole
def test_a_message_that_is_not_taken_comes_again_with_the_same_id(http, hook, receiver, ask):
    receiver.answers = [(500, {}), (302, {'Location': receiver.url}), (200, {})]
    made = hook()
    ask()
    receiver.wait(3)
    ids = {headers['webhook-id'] for headers, _ in receiver.messages}
    assert len(ids) == 1 and len({body for _, body in receiver.messages}) == 1

    def delivered():
        (found,) = http.get(f'/api/webhooks/{made["id"]}/deliveries').json()['deliveries']
        return found['state'] == 'delivered' and found

    found = wait_for(delivered, 40, 'the delivery')
    assert found['tries'] == 3 and found['status'] == 200 and {found['id']} == ids and found['next_at'] is None


@whole
def test_retry_after_is_honoured(hook, receiver, ask):
    receiver.answers = [(429, {'Retry-After': '1'})]
    hook()
    ask()
    receiver.wait(2)
    assert receiver.at[1] - receiver.at[0] >= 0.95  # and not after a twentieth of a second, as after other failures


@whole
def test_a_receiver_that_is_gone_is_left_alone(http, hook, receiver, ask):
    receiver.answers = [(410, {})]
    made = hook()
    ask()
    receiver.wait()
    off = wait_for(
        lambda: not (found := http.get(f'/api/webhooks/{made["id"]}').json())['enabled'] and found, 10, 'it is off'
    )
    assert '410' in off['reason'] and off['secret'] is None
    ask()
    on = http.put(f'/api/webhooks/{made["id"]}', json={'url': receiver.url}).json()
    assert on['enabled'] and on['reason'] == '' and on['secret'] is None
    job = ask()
    assert receiver.wait(2)[1]['data']['job_id'] == job['id']  # what happened in between is not told


@whole
def test_webhooks_are_made_listed_changed_tried_and_removed(http, receiver):
    made = http.put('/api/webhooks/mine', json={'url': receiver.url, 'events': ['*']})
    assert made.status_code == 201 and made.json()['secret'].startswith('whsec_')
    again = http.put('/api/webhooks/mine', json={'url': receiver.url, 'events': ['Paused']})
    assert again.status_code == 200 and again.json()['secret'] is None and again.json()['events'] == ['Paused']
    fresh = http.put('/api/webhooks/mine', json={'url': receiver.url, 'new_secret': True}).json()
    assert fresh['secret'] not in (None, made.json()['secret'])
    assert [each['id'] for each in http.get('/api/webhooks').json()['webhooks']] == ['mine']
    assert 'secret' not in str(http.get('/api/webhooks').json()).replace("'secret': None", '')
    assert http.post('/api/webhooks/mine/test').json() == {'ok': True, 'status': 204, 'detail': ''}
    headers, body = receiver.messages[0]
    assert json.loads(body)['type'] == 'Test' and verified(fresh['secret'], headers, body, time.time())
    receiver.answers = [(500, {})]
    assert http.post('/api/webhooks/mine/test').json()['status'] == 500
    assert http.delete('/api/webhooks/mine').status_code == 204
    for method, path in (('GET', ''), ('DELETE', ''), ('POST', '/test'), ('GET', '/deliveries')):
        assert problem(http.request(method, f'/api/webhooks/mine{path}')) == (404, 'not_found')


@whole
@pytest.mark.parametrize('url', ['http://169.254.169.254/', 'http://10.0.0.1/', 'http://[::1]/', 'http://[fd00::1]/'])
def test_an_address_that_is_not_public_is_refused(http, url):
    reply = http.post('/api/webhooks', json={'url': url})
    assert problem(reply) == (403, 'address_refused') and 'webhook_networks' in reply.json()['error']['message']


@whole
@pytest.mark.parametrize(
    'body',
    [{}, {'url': ''}, {'url': 'ftp://x/'}, {'url': 'http://0x7f.1/'}, {'url': 'https://x.example', 'events': ['Nope']}],
)
def test_what_is_no_webhook_is_refused(http, body):
    assert problem(http.post('/api/webhooks', json=body)) == (422, 'invalid')
    assert problem(http.put('/api/webhooks/a%20b', json={'url': 'https://x.example'})) == (422, 'invalid')


class Queue:
    """Facts that a test makes."""

    def __init__(self) -> None:
        self.news = News()
        self.bulletin = Bulletin()
        self.facts: list[Any] = []

    def happen(self, count: int = 1) -> None:
        for number in range(count):
            self.facts.append(self.news.completed(f'j{number}', 1).fact)
            self.bulletin.push(self.facts[-1])

    async def facts_after(self, seq: int, limit: int = 1000) -> protocol.Facts:
        found = [fact for fact in self.facts if fact.seq > seq][:limit]
        return protocol.Facts(facts=tuple(found), head=self.facts[-1].seq if self.facts else 0)


class Post:
    """Takes messages as ``say`` says: with a status, or with an error."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.say: list[Answer | Failed] = []
        self.open = asyncio.Event()
        self.open.set()
        self.news = asyncio.Event()

    async def post(self, url: str, headers: dict[str, str], body: bytes, now: float) -> Answer:
        self.ids.append(headers['webhook-id'])
        self.news.set()
        await self.open.wait()
        said = self.say.pop(0) if self.say else Answer(200, 0.0, '')
        if isinstance(said, Failed):
            raise said
        return said

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.ids) < count:
                self.news.clear()
                await self.news.wait()


class Desk:
    """Webhooks over a file, which may be started again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queue, self.post = Queue(), Post()
        self.counted: list[str] = []
        self.works: Dispatch | None = None

    async def start(self, base_s: float = 0.01) -> Dispatch:
        box = await Outbox.open(self.path)
        queue: Any = self.queue
        self.works = Dispatch(
            box, self.post, queue, queue.bulletin, base_s=base_s, count=self.counted.append,  # type: ignore[arg-type]
        )  # fmt: skip
        await self.works.start()
        return self.works

    async def stop(self) -> None:
        if self.works is not None:
            await self.works.close()
        self.works = None

    async def until(self, state: str, count: int) -> list[outbox.Message]:
        works = self.works
        assert works
        return await self.settled(
            lambda: works.messages('h', 500), lambda found: sum(each.state == state for each in found) >= count
        )

    async def settled(self, look: Any, condition: Any) -> Any:
        """Look again and again; nothing tells when the file has changed."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(found := await look()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            return found


@pytest.fixture
async def desk_(tmp_path):
    made = Desk(tmp_path / 'webhooks.db')
    yield made
    await made.stop()


HOOK = Webhook(id='h', url='https://x.example/', events=('*',), secret=signature.new_secret(), created_at=1.0)


async def test_what_was_not_taken_before_a_restart_is_sent_after_it_and_nothing_else_twice(desk_):
    desk_.queue.happen(3)
    works = await desk_.start(base_s=3600)
    await works.put(msgspec.structs.replace(HOOK, after_seq=1))
    desk_.post.say = [Answer(200, 0.0, ''), Failed('no connection')]
    assert {message.seq: message.tries for message in await desk_.until('delivered', 1)} == {2: 1, 3: 1}
    await desk_.stop()
    desk_.queue.happen(2)  # while the desk was away
    again = await desk_.start(base_s=3600)
    await desk_.until('delivered', 3)
    assert desk_.post.ids == ['msg_h_2', 'msg_h_3', 'msg_h_4', 'msg_h_5']
    await again._box.tried(msgspec.structs.replace((await again.messages('h', 9))[2], next_at=0.0))  # its time has come
    again._wakes['h'].set()
    await desk_.until('delivered', 4)
    assert desk_.post.ids[4:] == ['msg_h_3']


async def test_a_stop_in_the_middle_of_a_try_means_another_try(desk_):
    works = await desk_.start()
    await works.put(HOOK)
    desk_.post.open.clear()
    desk_.queue.happen()
    await desk_.post.until(1)
    await desk_.stop()
    desk_.post.open.set()
    await desk_.start()
    await desk_.until('delivered', 1)
    assert desk_.post.ids == ['msg_h_1'] * 2


async def test_after_nine_tries_it_is_given_up(desk_):
    desk_.post.say = [Answer(500, 0.0, 'no') for _ in range(dispatch.TRIES)]
    works = await desk_.start(base_s=1e-6)
    await works.put(HOOK)
    desk_.queue.happen()
    (message,) = await desk_.until('failed', 1)
    assert (message.tries, message.status, message.detail) == (dispatch.TRIES, 500, 'no')
    assert desk_.counted == ['retried'] * 8 + ['failed'] and len(desk_.post.ids) == 9


def test_the_waits_grow_fourfold_with_jitter_up_to_a_day(tmp_path):
    made = Dispatch(None, None, None, Bulletin(), base_s=5, count=print)  # type: ignore[arg-type]
    for tries, middle in ((1, 5), (2, 20), (3, 80), (4, 320), (8, 81_920), (9, 86_400)):
        waits = [made._back_off_s(tries) for _ in range(200)]
        assert middle * 0.8 <= min(waits) < middle < max(waits) <= middle * 1.2


async def test_one_webhook_that_fails_holds_up_no_other_and_no_later_message(desk_):
    works = await desk_.start(base_s=3600)
    await works.put(HOOK)
    await works.put(msgspec.structs.replace(HOOK, id='other', events=('JobDied',)))
    desk_.post.say = [Failed('down')]
    desk_.queue.happen()
    await desk_.until('pending', 1)
    await desk_.post.until(1)
    desk_.queue.happen(3)
    await desk_.until('delivered', 3)
    assert desk_.post.ids == ['msg_h_1', 'msg_h_2', 'msg_h_3', 'msg_h_4']
    assert await works.messages('other', 9) == []


async def test_a_webhook_that_is_far_behind_is_switched_off(desk_, monkeypatch):
    monkeypatch.setattr(outbox, 'MAX_PENDING', 5)
    works = await desk_.start(base_s=3600)
    desk_.post.open.clear()
    await works.put(HOOK)
    desk_.queue.happen(9)
    await desk_.until('failed', 9)
    assert not works.webhook('h').enabled and 'could not be delivered' in works.webhook('h').reason


async def test_only_so_many_old_messages_are_kept(desk_, monkeypatch):
    monkeypatch.setattr(outbox, 'KEEP_ENDED', 3)
    works = await desk_.start()
    await works.put(HOOK)
    desk_.queue.happen(8)
    await desk_.settled(lambda: works.messages('h', 99), lambda found: [each.seq for each in found] == [8, 7, 6])


async def test_another_queue_is_followed_from_its_newest_fact(desk_):
    desk_.queue.happen(5)
    works = await desk_.start()
    await works.put(msgspec.structs.replace(HOOK, after_seq=5))
    await works._box.add((), 900)
    desk_.queue.happen()
    await desk_.settled(works._box.progress, lambda seq: seq == 6)


async def test_a_file_of_a_newer_corral_is_refused_and_one_that_is_no_database_too(tmp_path):
    path = tmp_path / 'webhooks.db'
    box = await Outbox.open(path)
    await box._do(lambda: box._db.execute('PRAGMA user_version = 99').fetchall())
    await box.close()
    with pytest.raises(OutboxError, match='newer'):
        await Outbox.open(path)
    path.write_bytes(b'no database at all' * 100)
    with pytest.raises(OutboxError, match='cannot be used'):
        await Outbox.open(path)
    assert path.stat().st_mode & 0o077 == 0
