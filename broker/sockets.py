"""ZeroMQ sockets with every limit set on purpose (the defaults are unlimited sizes and silent drops)."""

from typing import Any

import zmq

from broker import errors, protocol
from broker.endpoints import Endpoints

CURVE_DOMAIN, NETWORK_DOMAIN = b'corral', b'corral-network'


def tune(socket: zmq.Socket[Any], *, high_water: int = 10_000) -> None:
    """Set limits: message size, queue lengths, time-outs, heartbeats."""
    socket.setsockopt(zmq.MAXMSGSIZE, protocol.MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.SNDHWM, high_water)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDTIMEO, 0)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5_000)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)


def heartbeat(socket: zmq.Socket[Any]) -> None:
    """Let ZeroMQ notice a half-open TCP connection in six seconds. Local sockets need none: the kernel tells."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6_000)
    socket.setsockopt(zmq.HEARTBEAT_TTL, 6_000)


def serve(socket: zmq.Socket[Any], endpoints: Endpoints, address: str) -> None:
    """Bind the broker's side of ``address``, with CURVE where it is not ipc. Raises ``errors.BrokerError``."""
    if not address.startswith('ipc://'):
        _lock(socket, endpoints.broker_public.encode(), endpoints.broker_secret.encode(), CURVE_DOMAIN)
    _bind(socket, address)


def serve_network(socket: zmq.Socket[Any], address: str, public: bytes, secret: bytes) -> None:
    """Bind ``address`` as well, for workers of other machines, with keys of its own. Raises ``errors.BrokerError``.

    Options count for what is bound after them, so what was bound before stays as it is.
    """
    _lock(socket, public, secret, NETWORK_DOMAIN)
    _bind(socket, address)


def _lock(socket: zmq.Socket[Any], public: bytes, secret: bytes, domain: bytes) -> None:
    """From here on only those come in whom the handler of ``domain`` knows."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    socket.setsockopt(zmq.ZAP_DOMAIN, domain)
    heartbeat(socket)


def _bind(socket: zmq.Socket[Any], address: str) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        raise errors.BrokerError(f'{address} cannot be used: {zmq.strerror(error.errno or 0)}.') from error


def connect(socket: zmq.Socket[Any], endpoints: Endpoints, address: str) -> None:
    """Connect a client's or worker's side of ``address``; it reconnects by itself, fast and without a herd."""
    if not address.startswith('ipc://'):
        socket.setsockopt(zmq.CURVE_SERVERKEY, endpoints.broker_public.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, endpoints.peer_public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, endpoints.peer_secret.encode())
        heartbeat(socket)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)  # libzmq adds its own jitter while no maximum is set
    socket.connect(address)
