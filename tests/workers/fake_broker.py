"""A broker that only says what a test tells it to, and remembers what workers say."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import zmq
import zmq.asyncio

from broker import protocol, sockets
from broker.endpoints import Endpoints

MessageT = TypeVar('MessageT', bound=protocol.FromWorker)
JOB = '0' * 31 + '1'


class FakeBroker:
    """A ROUTER that can be restarted at the same address: ``await broker.stop()``, ``broker.start()``."""

    def __init__(self, *, heartbeat_s: float = 60.0, settles: bool = True, tcp: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix='corral-'))  # short: an ipc path may have 107 bytes
        address = f'ipc://{self._folder}/w'
        keys = _keys() if tcp else {}
        self.endpoints = Endpoints(
            client=address, worker='tcp://127.0.0.1:*' if tcp else address, facts=address, **keys
        )
        self.heartbeat_s = heartbeat_s
        self.settles = settles
        self.heard: list[protocol.AnyFromWorker] = []
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        sockets.tune(self._socket)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        sockets.serve(self._socket, self.endpoints, self.endpoints.worker)
        bound = self._socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b'\0').decode()
        self.endpoints = self.endpoints.model_copy(update={'worker': bound})
        self._peer = b''
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        if not self._socket.closed:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
            self._context.destroy(linger=0)

    def tell(self, *messages: protocol.ToWorker) -> None:
        for message in messages:
            self.tell_raw(protocol.encode(message))

    def tell_raw(self, *frames: bytes) -> None:
        self._socket.send_multipart((self._peer, *frames), zmq.NOBLOCK).result()

    def of(self, kind: type[MessageT]) -> list[MessageT]:
        """What came of this kind, Tokens and the like."""
        return [message for message in self.heard if isinstance(message, kind)]

    def lines(self, epoch: int = 1, job_id: str = JOB) -> list[bytes]:
        """All lines of a run as they came; asserts that each batch begins where the one before ended."""
        lines: list[bytes] = []
        for tokens in self.of(protocol.Tokens):
            if (tokens.job_id, tokens.epoch) == (job_id, epoch):
                assert tokens.index == len(lines), f'lines {tokens.index} came after {len(lines)}'
                lines += tokens.lines
        return lines

    async def until(self, condition: Callable[[], object], timeout_s: float = 40) -> None:
        """Wait until ``condition`` holds; it is looked at after each message."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(condition)

    async def hear(self, kind: type[MessageT], timeout_s: float = 40) -> MessageT:
        """The first message of this kind, now or as soon as it comes."""
        await self.until(lambda: self.of(kind), timeout_s)
        return self.of(kind)[0]

    async def _read(self) -> None:
        while True:
            await self._socket.poll()
            self._peer, data = await self._socket.recv_multipart()
            for message in protocol.from_worker_in(data):
                self._answer(message)
                async with self._arrived:
                    self.heard.append(message)
                    self._arrived.notify_all()

    def _answer(self, message: protocol.AnyFromWorker) -> None:
        if isinstance(message, protocol.Ready):
            self.tell(protocol.Welcome(boot='b', heartbeat_s=self.heartbeat_s, lease_ttl_s=15.0))
        elif self.settles and isinstance(
            message, protocol.Finished | protocol.Failed | protocol.Stopped | protocol.HandBack
        ):
            self.tell(protocol.Settled(job_id=message.job_id, epoch=message.epoch))


def _keys() -> dict[str, str]:
    keys: dict[str, str] = {}
    for name in ('broker', 'peer'):
        public, secret = zmq.curve_keypair()
        keys |= {f'{name}_public': public.decode(), f'{name}_secret': secret.decode()}
    return keys
