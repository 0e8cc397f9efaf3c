"""The worker's one socket to the broker: it connects by itself, again and again, and never blocks."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from broker import protocol, sockets
from broker.endpoints import Endpoints

logger = logging.getLogger(__name__)

_DRAIN_AT_ONCE = 500
_GOODBYE_MS = 300  # how long the last messages may take to leave


class Link:
    """A DEALER towards the broker. ``run`` serves it until cancelled; the callbacks must not block.

    Without a broker nothing is sent or piled up: ``send`` says so, and ``on_up`` tells when there is one (again).
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        on_message: Callable[[protocol.AnyToWorker], None],
        on_up: Callable[[], None],
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_refused = on_refused
        self._endpoints = endpoints
        self._on_message = on_message
        self._on_up = on_up
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        sockets.tune(self._socket)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self.up = False
        self.malformed = 0

    async def run(self) -> None:
        """Connect and pass on what comes."""
        events = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_FAILED_AUTH
        monitor = self._socket.get_monitor_socket(events)
        sockets.connect(self._socket, self._endpoints, self._endpoints.worker)
        try:
            await asyncio.gather(
                _serve(self._socket, self._take),
                _serve(monitor, self._notice),
            )
        finally:
            self._socket.disable_monitor()
            monitor.close(0)  # which that leaves to the garbage collector

    def send(self, message: protocol.FromWorker) -> bool:
        """Send at once; False when there is no broker or it does not keep up."""
        # Through the asyncio socket on purpose: a send may take up the wake-up that a reader waits for, and only
        # this way pyzmq looks again. The future is always done.
        sent = cast('asyncio.Future[object]', self._socket.send(protocol.encode(message), zmq.NOBLOCK))
        return sent.exception() is None

    def close(self) -> None:
        """Close the socket after the last messages have left."""
        self._socket.close(_GOODBYE_MS)
        self._context.destroy(linger=_GOODBYE_MS)

    def _take(self, frames: list[bytes]) -> None:
        try:
            (data,) = frames
            messages = protocol.to_worker_in(data)
        except (*protocol.Malformed, ValueError):
            self.malformed += 1
            if self.malformed & (self.malformed - 1) == 0:  # 1, 2, 4, 8, …: a flood must not fill the log
                logger.warning('%s messages not understood so far', self.malformed, extra={'action': 'malformed'})
            return
        for message in messages:
            try:
                self._on_message(message)
            except Exception:
                logger.exception('could not handle %s', type(message).__name__, extra={'action': 'handle'})

    def _notice(self, frames: list[bytes]) -> None:
        event = parse_monitor_message(frames)['event']
        if event == zmq.Event.HANDSHAKE_FAILED_AUTH:  # our key is unknown there, and will be
            logger.error('the broker refused our key', extra={'action': 'link'})
            self._on_refused('')
            return
        self.up = event == zmq.Event.HANDSHAKE_SUCCEEDED
        logger.info('the broker is %s', 'there' if self.up else 'away', extra={'action': 'link'})
        if self.up:
            self._on_up()


async def _serve(waiting: zmq.asyncio.Socket, take: Callable[[list[bytes]], None]) -> None:
    # a cancelled recv of pyzmq may lose a message (pyzmq #1925); whoever cancels this wants no more
    now: zmq.Socket[bytes] = zmq.Socket.shadow(waiting)
    while True:
        take(await waiting.recv_multipart())
        for _ in range(_DRAIN_AT_ONCE):
            try:
                frames = now.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            take(frames)
        await asyncio.sleep(0)
