"""The broker's three sockets: what comes in by them and from whom, and what goes out, as letters."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import zmq

from broker import doorman, errors, facts, machines, network, protocol, sockets
from broker.actions import Peer
from broker.endpoints import Endpoints

logger = logging.getLogger(__name__)

NOBLOCK, SEND_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)  # pyzmq's own are enums, and dear to combine

AT_ONCE = 500  # messages taken from a socket before the batch is committed
FACTS_AT_ONCE = 100  # in one message: it has room for so many with the longest of details and traces

_SUMS = (protocol.TOPIC_STANDING, protocol.TOPIC_STAFF, protocol.TOPIC_PULSE)

ToPeer = protocol.Reply | protocol.ToWorker
News = dict[bytes, list[protocol.Published]]  # by topic
_Decode = Callable[[bytes], Sequence[protocol.AnyRequest | protocol.AnyFromWorker]]


class Taken(NamedTuple):
    """A message that came in, and from whom."""

    peer: Peer
    message: protocol.AnyRequest | protocol.AnyFromWorker


class Doors:
    """A ROUTER for clients, one for workers, and an XPUB for news, of the thread that made them.

    ``joined`` are the machines of the network whose workers may come in at ``listen``, ``host:port``; None where none
    may. Raises ``errors.BrokerError`` when an address cannot be used.
    """

    def __init__(self, endpoints: Endpoints, joined: machines.Machines | None, listen: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._joined = joined
        self._doorman: doorman.Doorman | None = None
        self.malformed = 0  # messages that were not understood
        try:
            if joined is not None or not endpoints.client.startswith('ipc://'):
                self._doorman = doorman.Doorman(self._context, endpoints, joined)
            client = self._serve(zmq.ROUTER, endpoints, endpoints.client)
            worker = self._serve(zmq.ROUTER, endpoints, endpoints.worker)
            self._news = self._serve(zmq.XPUB, endpoints, endpoints.facts)
            if joined is not None:
                _let_join(worker, listen, joined)
        except errors.BrokerError:
            self.close()
            raise
        self._sides = {'client': client, 'worker': worker}
        self._decoders: dict[str, _Decode] = {'client': protocol.requests_in, 'worker': protocol.from_worker_in}

    def close(self) -> None:
        """Nothing comes in any more; what is on its way out has a moment to leave."""
        if self._doorman is not None:
            self._doorman.stop()
        self._context.destroy(linger=200)

    def wait_in(self, poller: zmq.Poller) -> None:
        """Have ``poller`` wake up when something comes in."""
        for socket in (*self._sides.values(), self._news):
            poller.register(socket, zmq.POLLIN)

    def take(self, side: str) -> list[Taken]:
        """What has come from the clients or the workers, so much at most as one batch may have."""
        taken: list[Taken] = []
        while len(taken) < AT_ONCE:
            try:
                peer, parts = self._received(side)
            except zmq.Again:
                break
            if peer is None:
                continue
            try:
                (letter,) = parts
                taken += self._let_in(peer, self._decoders[side](letter))
            except (*protocol.Malformed, ValueError):
                self._not_understood(peer)
        return taken

    def listeners(self) -> list[bytes]:
        """What those who have begun to listen want to hear: topics, or how they begin."""
        found: list[bytes] = []
        while True:
            try:
                subscription = self._news.recv(NOBLOCK)
            except zmq.Again:
                return found
            if subscription[:1] == b'\x01':
                found.append(subscription[1:])

    def send(self, peer: Peer, messages: Sequence[ToPeer]) -> bool:
        """Whether they are on their way; else whoever should have them is gone, or does not read."""
        try:
            for letter in protocol.letters(map(protocol.encode, messages)):
                self._sides[peer.side].send_multipart((peer.routing_id, letter), NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    def publish(self, news: News, told: Sequence[facts.AnyFact]) -> None:
        """Tell everybody who listens, facts among it. What sums up, like the pulse, comes last."""
        sums = {topic: news.pop(topic) for topic in _SUMS if topic in news}
        for at in range(0, len(told), FACTS_AT_ONCE):
            portion = protocol.FactsOut(facts=tuple(told[at : at + FACTS_AT_ONCE]))
            news.setdefault(protocol.TOPIC_FACTS, []).append(portion)
        self.speak(news)
        self.speak(sums)

    def speak(self, news: News) -> None:
        """Tell it just so."""
        for topic, messages in news.items():
            for letter in protocol.letters(map(protocol.encode, messages)):
                self._news.send(topic, SEND_MORE)
                self._news.send(letter, NOBLOCK)

    def _received(self, side: str) -> tuple[Peer | None, list[bytes]]:
        """The next message, and from whom; from None where that may not speak here any more. Raises ``zmq.Again``."""
        if self._joined is None or self._doorman is None or side == 'client':
            routing_id, *parts = self._sides[side].recv_multipart(NOBLOCK)
            return Peer(side, routing_id), parts
        frames = self._sides[side].recv_multipart(NOBLOCK, copy=False)
        machine = self._doorman.machine_of(frames[-1])
        peer = Peer(side, frames[0].bytes, machine or '')
        if machine is None:
            self.send(peer, [protocol.TurnedAway(detail=doorman.REMOVED)])
            return None, []
        return peer, [frame.bytes for frame in frames[1:]]

    def _let_in(self, peer: Peer, messages: Iterable[protocol.AnyRequest | protocol.AnyFromWorker]) -> list[Taken]:
        """Those that count: nobody works under the name of a worker of another machine."""
        if self._joined is None:
            return [Taken(peer, message) for message in messages]
        taken: list[Taken] = []
        for message in messages:
            if isinstance(message, protocol.Ready) and (problem := self._joined.claim(message.worker, peer.machine)):
                text = 'a worker of machine %s was turned away: %s'
                logger.warning(text, peer.machine, problem, extra={'action': 'refuse'})
                self.send(peer, [protocol.TurnedAway(detail=problem)])
            else:
                taken.append(Taken(peer, message))
        return taken

    def _not_understood(self, peer: Peer) -> None:
        self.malformed += 1
        if self.malformed & (self.malformed - 1) == 0:  # 1, 2, 4, 8, …: a flood must not fill the log
            logger.warning('%s messages not understood so far', self.malformed, extra={'action': 'malformed'})
        if peer.side == 'client':
            self.send(peer, [protocol.Refused(code='bad_request', detail='the message was not understood')])

    def _serve(self, kind: int, endpoints: Endpoints, address: str) -> 'zmq.Socket[bytes]':
        made = self._context.socket(kind)
        sockets.tune(made, high_water=100_000 if kind == zmq.XPUB else 10_000)
        if kind == zmq.ROUTER:
            made.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an unroutable message is an error, not silence
        else:
            made.setsockopt(zmq.XPUB_WELCOME_MSG, protocol.WELCOME)
            made.setsockopt(zmq.XPUB_VERBOSE, 1)  # each subscription is heard of, not only the first of its kind
        sockets.serve(made, endpoints, address)
        return made


def _let_join(worker: 'zmq.Socket[bytes]', listen: str, joined: machines.Machines) -> None:
    """Workers of other machines come in beside the local ones, with keys of their own."""
    try:
        address = network.bound(listen)
    except ValueError as error:
        raise errors.BrokerError(f'{listen} cannot be used: {error}.') from None
    sockets.serve_network(worker, address, joined.public, joined.secret)
    logger.info('workers of other machines join at %s', address, extra={'action': 'listen'})
