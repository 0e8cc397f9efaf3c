"""Who may come in at the broker's sockets, and which machine of the network a message comes from."""

import logging
import time

import zmq
from zmq.auth.thread import ThreadAuthenticator

from broker import machines, sockets
from broker.endpoints import Endpoints
from broker.knocks import Knocks

logger = logging.getLogger(__name__)

OURS = ''  # in place of a machine's name: a process of this one
REMOVED = 'This machine was removed from the desk. To work for it again, make a new command on its page Workers.'


class Doorman:
    """Answers for every connection whether its key is known; CURVE alone lets every key in. ``stop`` ends its thread.

    ``joined`` are the machines of the network, None where none may join.
    """

    def __init__(
        self, context: 'zmq.Context[zmq.Socket[bytes]]', endpoints: Endpoints, joined: machines.Machines | None
    ):
        self._joined = joined
        self._own_key = endpoints.peer_public
        self._asked = _Asked(context)
        self._asked.start()
        for domain, provider in ((sockets.CURVE_DOMAIN, _Ours(endpoints)), (sockets.NETWORK_DOMAIN, self)):
            self._asked.configure_curve_callback(domain=domain.decode(), credentials_provider=provider)
        self._knocks = Knocks()

    def stop(self) -> None:
        """No connection is let in after this."""
        self._asked.stop()

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this key (Z85) is one of a machine that may join. Called in a thread of its own."""
        if self._joined is not None and self._joined.name_of(key):
            return True
        line = self._knocks.heard(key.decode(), self._asked.address, time.monotonic())
        if line:
            logger.warning('%s', line, extra={'action': 'refuse'})
        return False

    def machine_of(self, frame: zmq.Frame) -> str | None:
        """The machine that a message comes from, OURS, or None for one that was removed since it connected."""
        try:
            key = str(frame.get('User-Id'))
        except zmq.ZMQError:  # it came by a socket file, which is ours alone
            return OURS
        if key == self._own_key:
            return OURS
        return self._joined.name_of(key.encode()) if self._joined is not None else None


class _Ours:
    def __init__(self, endpoints: Endpoints) -> None:
        self._key = endpoints.peer_public.encode()  # Z85

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self._key


class _Asked(ThreadAuthenticator):
    """Remembers from which address the connection comes that it is asked about."""

    address = ''

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        self.address = msg[3].decode('ascii', 'replace')[:60] if len(msg) > 3 else ''
        await super().handle_zap_message(msg)
