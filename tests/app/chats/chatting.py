"""The service of the chat with the real queue core behind a client that can fail, for its tests."""

import asyncio
import json

from app.board import Board
from app.chats.chat import ChatService
from app.settings import AppSettings
from broker import errors, facts, protocol
from broker.actions import FromStore, Persist, Publish, SendJob
from broker.endpoints import Endpoints
from tests.broker.desk import CLIENT
from tests.broker.desk import Desk as Queue


class FakeBroker:
    """``BrokerClient`` on a core in this process; everything published reaches the board."""

    def __init__(self, board):
        self.queue, self.board = Queue(), board
        self.away, self.refusal = False, None
        self.bodies = {}

    def _perform(self, actions):
        self.queue.did(actions)
        for action in actions:
            if isinstance(action, Persist):
                self.board.apply(protocol.FactOut(fact=action.fact), self.queue.now)
            if isinstance(action, Publish):
                self.board.apply(action.message, self.queue.now)
            if isinstance(action, SendJob):
                self.bodies[action.message.job_id] = json.loads(self.queue.store.body(action.message.job_id))
        self.board.flush(self.queue.now)

    async def _ask(self, request):
        await asyncio.sleep(0)
        if self.away:
            raise errors.BrokerUnreachable
        if self.refusal:
            raise self.refusal
        actions = self.queue.core.receive(CLIENT, request, self.queue.now)
        self._perform(actions)
        if any(isinstance(action, FromStore) for action in actions):
            return None
        reply = next(a.message for a in actions if getattr(a, 'peer', None) == CLIENT)
        if isinstance(reply, protocol.Refused):
            raise errors.Refused(reply.code, reply.detail, reply.retry_after_s)
        return reply

    async def submit(self, job):
        await self._ask(job)

    async def cancel(self, job_id, *, waiting=False):
        if await self._ask(protocol.Cancel(job_id=job_id, waiting=waiting)) is None:
            raise errors.Refused('final' if self.queue.store.stored([job_id]) else 'not_found', '')

    async def set_priority(self, job_id, priority):
        await self._ask(protocol.SetPriority(job_id=job_id, priority=priority))

    async def get(self, job_id):
        reply = await self._ask(protocol.GetJob(job_id=job_id))
        job = self.queue.store.job(job_id)
        if job is None:
            raise errors.Refused('not_found', '')
        return reply or protocol.JobState(job=job)

    async def history(self, job_id):
        found = {fact.seq: fact for fact in self.queue.facts if getattr(fact, 'job_id', '') == job_id}
        return tuple(found.values())

    async def read_all(self, job_id):
        lines = tuple(self.queue.store.answer(job_id))
        return protocol.Lines(job_id=job_id, epoch=1, index=0, lines=lines, total=len(lines), ended=True)

    def worker(self, name='w', **fields):
        peer = self.queue.join(name, **fields)
        self._perform(self.queue.last)
        return peer

    def say(self, peer, message):
        self._perform(self.queue.core.receive(peer, message, self.queue.now))


def lines(*texts):
    return tuple(json.dumps({'message': {'content': text}}, ensure_ascii=False).encode() for text in texts)


class Setup:
    """One of them, to be opened and closed by the test."""

    def __init__(self, tmp_path):
        endpoints = Endpoints(client='ipc://c', worker='ipc://w', facts='ipc://f')
        self.settings = AppSettings(data_dir=tmp_path, endpoints=endpoints, version='0', max_prompt_bytes=1000)
        self.board = Board()
        self.broker = FakeBroker(self.board)
        self.service = None

    async def open(self):
        self.service = await ChatService.open(self.settings, self.broker, self.board)
        await self.settle()
        return self.service

    async def reopen(self):
        await self.service.close()
        self.board = Board()
        self.broker.board = self.board
        return await self.open()

    async def settle(self):
        """Let the service do what it has begun."""
        while self.service._jobs.tasks:
            await asyncio.wait(set(self.service._jobs.tasks))

    async def answer_of(self, conversation):
        return (await self.service.messages(conversation.id))[-1]

    async def view(self, conversation):
        return self.service.view(await self.answer_of(conversation))

    async def run(self, conversation, *texts):
        """A worker answers the last message."""
        message = await self.answer_of(conversation)
        worker = self.broker.worker()
        job = {'job_id': message.job_id, 'epoch': 1}
        self.broker.say(worker, protocol.Tokens(**job, index=0, lines=lines(*texts)))
        usage = facts.Usage(output_tokens=8, decode_s=2.0, first_token_s=0.5)
        self.broker.say(worker, protocol.Finished(**job, lines=len(texts), usage=usage))
        await self.settle()
