"""The machines of the network whose workers may join: a pair of CURVE keys for the broker, and a public key for each.

The secret of a machine is made here, handed out once as part of its token, and not kept. All is in one file of the
data directory that only its user can read.
"""

import base64
import binascii
import contextlib
import os
import time
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85

from broker import errors, protocol
from broker.endpoints import Endpoints

FILE = 'machines.json'
MAX_NAME, MOST = 60, 1_000
MAX_WORKER_NAME, MOST_WORKERS = 200, 100  # of one machine


class NoToken(ValueError):
    """That is no key of a desk; copy the whole command."""


class _Machine(msgspec.Struct, frozen=True):
    name: str
    public: str  # Z85
    added_at: float
    workers: tuple[str, ...] = ()  # names that are its own


class _Kept(msgspec.Struct):
    public: str
    secret: str
    machines: list[_Machine] = []


class Machines:
    """Who may join, and whose worker names are whose. The broker's thread changes it; any may call ``name_of``."""

    def __init__(self, path: Path, listen: str = '') -> None:
        self._path = path
        self.listen = listen
        self._kept = self._read()
        self._names = _by_key(self._kept.machines)
        self._owners = {worker: machine.name for machine in self._kept.machines for worker in machine.workers}

    @property
    def public(self) -> bytes:
        """The broker's public key."""
        return self._kept.public.encode()

    @property
    def secret(self) -> bytes:
        """The broker's secret key."""
        return self._kept.secret.encode()

    def name_of(self, key: bytes) -> str | None:
        """The machine with this public key (Z85), if it may join."""
        return self._names.get(key)

    def listed(self) -> list[tuple[str, float]]:
        """Names, and since when; by name."""
        return sorted((machine.name, machine.added_at) for machine in self._kept.machines)

    def add(self, name: str) -> str:
        """Let one more in; its token, which nobody can show again. Raises ``errors.Refused``."""
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise errors.Refused('bad_request', f'a machine needs a name of 1 to {MAX_NAME} characters')
        if any(machine.name == name for machine in self._kept.machines):
            raise errors.Refused(
                'conflict', f'there is a machine called {name} already; remove it or take another name'
            )
        if len(self._kept.machines) >= MOST:
            raise errors.Refused('too_many', f'there may be {MOST} machines; remove some first')
        public, secret = zmq.curve_keypair()
        made = _Machine(name=name, public=public.decode(), added_at=time.time())
        self._keep([*self._kept.machines, made])
        return base64.urlsafe_b64encode(z85.decode(self.public) + z85.decode(secret)).rstrip(b'=').decode()

    def remove(self, name: str) -> bool:
        """Let it in no more; whether it was there. The names of its workers are free again."""
        left = [machine for machine in self._kept.machines if machine.name != name]
        gone = len(left) < len(self._kept.machines)
        if gone:
            self._keep(left)
            self._owners = {worker: owner for worker, owner in self._owners.items() if owner != name}
        return gone

    def claim(self, worker: str, machine: str) -> str:
        """Why a worker of this machine may not be called so, '' when it may.

        Whoever comes with a name first keeps it until it is removed; only this machine ('') takes its own back.
        """
        owner = self._owners.get(worker)
        if owner == machine:
            return ''
        if not machine:
            self._own(worker, machine)
            return ''
        if not 1 <= len(worker) <= MAX_WORKER_NAME or not worker.isprintable():
            return f'A worker needs a name of 1 to {MAX_WORKER_NAME} characters; choose another --name.'
        if owner is not None:
            return f'The worker name {worker} belongs to another machine of this desk; choose another --name.'
        if sum(each == machine for each in self._owners.values()) >= MOST_WORKERS:
            return f'This machine has used {MOST_WORKERS} worker names; use one of these, or have it added anew.'
        self._own(worker, machine)
        return ''

    def _own(self, worker: str, machine: str) -> None:
        self._owners[worker] = machine
        owned = [
            msgspec.structs.replace(each, workers=tuple(w for w, owner in self._owners.items() if owner == each.name))
            for each in self._kept.machines
        ]
        if owned != self._kept.machines:
            with contextlib.suppress(errors.Refused):  # where there is no room on the disk, it holds until the end
                self._keep(owned)

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            public, secret = zmq.curve_keypair()
            kept = _Kept(public=public.decode(), secret=secret.decode())
            self._write(kept)
            return kept
        except (OSError, msgspec.MsgspecError) as error:
            text = f'{self._path} cannot be read ({error}); restore it, or remove it and add the machines anew.'
            raise errors.BrokerError(text) from None

    def _keep(self, machines: list[_Machine]) -> None:
        kept = _Kept(public=self._kept.public, secret=self._kept.secret, machines=machines)
        self._write(kept)
        self._kept = kept
        self._names = _by_key(machines)

    def _write(self, kept: _Kept) -> None:
        """All or nothing, and for nobody else to read."""
        beside = self._path.with_suffix('.new')
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise errors.Refused('disk_full', f'{self._path} cannot be written: {error.strerror}') from None


def _by_key(machines: list[_Machine]) -> dict[bytes, str]:
    return {machine.public.encode(): machine.name for machine in machines}


Asked = protocol.AddMachine | protocol.RemoveMachine | protocol.FindMachines


def answer(known: Machines | None, request: Asked) -> protocol.Reply:
    """What a client hears; ``known`` is None where no machine may join."""
    rid = request.rid
    if isinstance(request, protocol.FindMachines):
        listed = known.listed() if known is not None else []
        return protocol.MachineList(rid=rid, machines=tuple(protocol.Machine(name=n, added_at=at) for n, at in listed))
    if known is None:
        detail = 'workers of other machines cannot join: Corral was started without --listen'
        return protocol.Refused(rid=rid, code='not_listening', detail=detail)
    try:
        if isinstance(request, protocol.AddMachine):
            return protocol.MachineToken(rid=rid, token=known.add(request.name), listen=known.listen)
        if known.remove(request.name):
            return protocol.Done(rid=rid)
    except errors.Refused as refused:
        return protocol.Refused(rid=rid, code=refused.code, detail=refused.detail)
    return protocol.Refused(rid=rid, code='not_found', detail=f'no machine is called {request.name[:MAX_NAME]}')


def endpoints_of(address: str, token: str) -> Endpoints:
    """Where a worker that joins finds the broker, from what the desk has shown. Raises ``NoToken``."""
    try:
        raw = base64.b64decode(token.strip() + '=' * (-len(token.strip()) % 4), altchars=b'-_', validate=True)
    except (binascii.Error, ValueError):
        raise NoToken(NoToken.__doc__) from None
    if len(raw) != 64:
        raise NoToken(NoToken.__doc__)
    secret = z85.encode(raw[32:])
    return Endpoints(
        client=address,
        worker=address,
        facts=address,
        broker_public=z85.encode(raw[:32]).decode(),
        peer_public=zmq.curve_public(secret).decode(),
        peer_secret=secret.decode(),
    )
