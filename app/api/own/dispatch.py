"""Webhooks at work: facts become messages on disk, and each is posted until it is taken or given up.

What is in ``webhooks.db`` is sent also after a restart. A message keeps its id over all tries, so a receiver can tell
that it has it already.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from app.api.own import outbox, signature
from app.api.own.bulletin import Bulletin, entry
from app.api.own.outbox import Message, Outbox, OutboxError, Webhook
from app.api.own.post import Failed, Poster
from broker import errors, facts
from broker.client import BrokerClient

TRIES = 9  # with the usual base over about a day
FACTOR, LONGEST_S = 4.0, 86_400.0
AT_ONCE = 8  # messages of one webhook
PAGE = 500
GONE = 410
LOOK_AGAIN_S = 30.0
STORE_AGAIN_S = 5.0

log = logging.getLogger(__name__)
Count = Callable[[str], object]


class Dispatch:
    """Sends; ``count`` is told 'delivered', 'retried' or 'failed' of each try."""

    def __init__(
        self, box: Outbox, poster: Poster, broker: BrokerClient, bulletin: Bulletin, *, base_s: float, count: Count
    ) -> None:
        self._box = box
        self.poster = poster
        self._broker = broker
        self._bulletin = bulletin
        self._base_s = base_s
        self._count = count
        self._hooks: dict[str, Webhook] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._collector: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up the work where it was left. Raises ``OutboxError``."""
        self._hooks = {hook.id: hook for hook in await self._box.webhooks()}
        self._collector = asyncio.create_task(self._collect(), name='webhooks')
        for hook in self._hooks.values():
            self._send_for(hook)

    async def close(self) -> None:
        """Stop. What was not taken is sent after the next start."""
        tasks = [*self._senders.values(), *([self._collector] if self._collector else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._box.close()

    # what routes ask

    def webhooks(self) -> list[Webhook]:
        """All, oldest first."""
        return list(self._hooks.values())

    def webhook(self, webhook_id: str) -> Webhook | None:
        """One of them."""
        return self._hooks.get(webhook_id)

    async def put(self, hook: Webhook) -> None:
        """Make or replace one. Raises ``OutboxError``."""
        if not any(each.enabled for each in self._hooks.values()):  # nobody listened: what was before is nobody's
            await self._box.add((), max(hook.after_seq, await self._box.progress()))
        await self._box.put(hook)
        self._hooks[hook.id] = hook
        self._stop_for(hook.id)
        self._send_for(hook)
        self._changed.set()

    async def remove(self, webhook_id: str) -> None:
        """It hears nothing any more. Raises ``OutboxError``."""
        del self._hooks[webhook_id]
        self._stop_for(webhook_id)
        await self._box.remove(webhook_id)

    async def messages(self, webhook_id: str, limit: int) -> list[Message]:
        """What was sent or is to be sent, newest first. Raises ``OutboxError``."""
        return await self._box.recent(webhook_id, limit)

    async def test(self, hook: Webhook) -> Message:
        """Post a message that means nothing, once, now."""
        now = time.time()
        body = _body('Test', now, {'webhook_id': hook.id})
        message = Message(id=f'msg_test_{int(now * 1000)}', webhook_id=hook.id, seq=0, event='Test', body=body)
        return (await self._tried(hook, message))[0]

    # facts become messages

    async def _collect(self) -> None:
        while True:
            try:
                if not await self._collect_page():
                    await self._bulletin.news(LOOK_AGAIN_S)
            except OutboxError as error:
                log.error('%s', error, extra={'action': 'webhooks'})
                await asyncio.sleep(STORE_AGAIN_S)
            except errors.BrokerError:
                await asyncio.sleep(1.0)
            except Exception:
                log.exception('webhooks hear nothing for a while', extra={'action': 'webhooks'})
                await asyncio.sleep(STORE_AGAIN_S)

    async def _collect_page(self) -> bool:
        """Deal with the next facts; False when there were none or nobody listens."""
        if not any(hook.enabled for hook in self._hooks.values()):
            self._changed.clear()
            await self._changed.wait()
        seq = await self._box.progress()
        page = await self._broker.facts_after(seq, PAGE)
        if page.head < seq:  # another queue
            await self._box.add((), page.head)
        if not page.facts:
            return False
        now = time.time()
        made = [
            self._message(hook, fact, now) for fact in page.facts for hook in self._hooks.values() if _hears(hook, fact)
        ]
        await self._box.add(made, page.facts[-1].seq)
        for webhook_id in {message.webhook_id for message in made}:
            if webhook_id in self._hooks and await self._box.pending(webhook_id) > outbox.MAX_PENDING:
                await self._switch_off(self._hooks[webhook_id], outbox.OVERFLOW)
            elif webhook_id in self._wakes:
                self._wakes[webhook_id].set()
        return True

    def _message(self, hook: Webhook, fact: facts.AnyFact, now: float) -> Message:
        name = type(fact).__name__
        data = msgspec.Raw(entry(fact).data)
        return Message(
            id=f'msg_{hook.id}_{fact.seq}',
            webhook_id=hook.id,
            seq=fact.seq,
            event=name,
            body=_body(name, fact.at, data),
            next_at=now,
            created_at=now,
        )

    # messages are posted

    def _send_for(self, hook: Webhook) -> None:
        if hook.enabled:
            self._wakes[hook.id] = asyncio.Event()
            self._senders[hook.id] = asyncio.create_task(self._send(hook), name=f'webhook {hook.id}')

    def _stop_for(self, webhook_id: str) -> None:
        self._wakes.pop(webhook_id, None)
        sender = self._senders.pop(webhook_id, None)
        if sender is not None and sender is not asyncio.current_task():
            sender.cancel()

    async def _send(self, hook: Webhook) -> None:
        wake = self._wakes[hook.id]
        while self._hooks.get(hook.id) is hook:
            try:
                wake.clear()
                due = await self._box.due(hook.id, time.time(), AT_ONCE)
                if not due:
                    await self._until(wake, await self._box.next_at(hook.id))
                    continue
                if GONE in await asyncio.gather(*(self._try(hook, message) for message in due)):
                    await self._switch_off(hook, 'its receiver says that it is gone (410)')
            except OutboxError as error:
                log.error('%s', error, extra={'action': 'webhooks'})
                await asyncio.sleep(STORE_AGAIN_S)
            except Exception:
                log.exception('webhook %s rests for a while', hook.id, extra={'action': 'webhooks'})
                await asyncio.sleep(STORE_AGAIN_S)

    async def _try(self, hook: Webhook, message: Message) -> int:
        """Post a message and note what became of it; the status of the answer."""
        message, status = await self._tried(hook, message)
        await self._box.tried(message)
        self._count({'pending': 'retried'}.get(message.state, message.state))
        return status

    async def _tried(self, hook: Webhook, message: Message) -> tuple[Message, int]:
        """A try, and the status of its answer."""
        now, tries = time.time(), message.tries + 1
        headers = {
            'Content-Type': 'application/json',
            'User-Agent': 'Corral-Webhooks/1',
            **signature.headers(hook.secret, message.id, int(now), message.body),
        }
        try:
            answer = await self.poster.post(hook.url, headers, message.body, now)
            status, detail, wait_s = answer.status, '' if answer.good else answer.text, answer.retry_after_s
        except Failed as error:
            status, detail, wait_s = 0, str(error), 0.0
        fields = {'tries': tries, 'status': status, 'detail': detail}
        now = time.time()
        if 200 <= status < 300:
            return msgspec.structs.replace(message, state='delivered', ended_at=now, **fields), status
        if tries >= TRIES or status == GONE:
            return msgspec.structs.replace(message, state='failed', ended_at=now, **fields), status
        wait_s = max(self._back_off_s(tries), min(wait_s, LONGEST_S))
        return msgspec.structs.replace(message, next_at=now + wait_s, **fields), status

    def _back_off_s(self, tries: int) -> float:
        """Four times as long each time, a fifth more or less, so that receivers are not asked by all at once."""
        return min(LONGEST_S, self._base_s * FACTOR ** (tries - 1)) * random.uniform(0.8, 1.2)

    async def _switch_off(self, hook: Webhook, reason: str) -> None:
        log.warning('webhook %s is off: %s', hook.id, reason, extra={'action': 'webhooks'})
        self._hooks[hook.id] = msgspec.structs.replace(hook, enabled=False, reason=reason)
        self._stop_for(hook.id)
        await self._box.switch_off(hook.id, reason, time.time())

    async def _until(self, wake: asyncio.Event, when: float) -> None:
        """Wait for the next message, or until one is to be sent again; the wall clock may be set meanwhile."""
        wait_s = min(LOOK_AGAIN_S, max(0.01, when - time.time())) if when else None
        try:
            async with asyncio.timeout(wait_s):
                await wake.wait()
        except TimeoutError:
            return


def _hears(hook: Webhook, fact: facts.AnyFact) -> bool:
    return hook.hears(type(fact).__name__, fact.seq)


def _body(name: str, at: float, data: object) -> bytes:
    when = datetime.fromtimestamp(at, UTC).isoformat().replace('+00:00', 'Z')
    return msgspec.json.encode({'type': name, 'timestamp': when, 'data': data})
