"""Messages to letters and back: msgpack, several for one receiver in one letter."""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from broker.protocol import batches, control, envelope, following, jobs, lookups, schedules, staff
from broker.protocol.broadcasts import AnyBroadcast, Published
from broker.protocol.envelope import MAX_BATCH_BYTES, MAX_TOGETHER, Reply, Request
from broker.protocol.work import AnyFromWorker, AnyToWorker, FromWorker, ToWorker

AnyRequest = (
    jobs.Submit
    | jobs.SubmitMany
    | batches.OpenBatch
    | batches.GetBatch
    | batches.FindBatches
    | batches.CancelBatch
    | schedules.SetSchedule
    | schedules.RemoveSchedule
    | schedules.FindSchedules
    | jobs.Cancel
    | jobs.SetPriority
    | lookups.Read
    | lookups.GetJob
    | lookups.GetBody
    | lookups.GetExcerpts
    | lookups.GetHistory
    | lookups.FindJobs
    | lookups.ListJobs
    | jobs.Replay
    | jobs.Purge
    | control.Pause
    | control.Resume
    | control.Drain
    | staff.Retire
    | staff.RunErrand
    | staff.CancelErrand
    | staff.AddMachine
    | staff.RemoveMachine
    | staff.FindMachines
    | control.GetSettings
    | control.SetSettings
    | following.FactsAfter
    | following.GetSnapshot
    | following.Ping
)
AnyReply = (
    jobs.Accepted
    | envelope.Refused
    | jobs.Submitted
    | batches.Batches
    | schedules.Schedules
    | envelope.Done
    | lookups.Lines
    | lookups.JobState
    | lookups.Body
    | lookups.Excerpts
    | lookups.Jobs
    | lookups.JobList
    | control.Settings
    | jobs.Purged
    | following.Facts
    | staff.ErrandState
    | staff.MachineToken
    | staff.MachineList
    | following.Snapshot
    | following.Pong
)
_encoder = msgspec.msgpack.Encoder()
_some = msgspec.Meta(min_length=1, max_length=MAX_TOGETHER)
_requests_decoder: msgspec.msgpack.Decoder[AnyRequest | list[AnyRequest]]
_replies_decoder: msgspec.msgpack.Decoder[AnyReply | list[AnyReply]]
_from_worker_decoder: msgspec.msgpack.Decoder[AnyFromWorker | list[AnyFromWorker]]
_to_worker_decoder: msgspec.msgpack.Decoder[AnyToWorker | list[AnyToWorker]]
_published_decoder: msgspec.msgpack.Decoder[AnyBroadcast | list[AnyBroadcast]]
_requests_decoder = msgspec.msgpack.Decoder(AnyRequest | Annotated[list[AnyRequest], _some])
_replies_decoder = msgspec.msgpack.Decoder(AnyReply | Annotated[list[AnyReply], _some])
_from_worker_decoder = msgspec.msgpack.Decoder(AnyFromWorker | Annotated[list[AnyFromWorker], _some])
_to_worker_decoder = msgspec.msgpack.Decoder(AnyToWorker | Annotated[list[AnyToWorker], _some])
_published_decoder = msgspec.msgpack.Decoder(AnyBroadcast | Annotated[list[AnyBroadcast], _some])
Malformed = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what the decoders may raise


def encode(message: Request | Reply | FromWorker | ToWorker | Published) -> bytes:
    """Any message as msgpack."""
    return _encoder.encode(message)


def letters(encoded: Iterable[bytes]) -> Iterator[bytes]:
    """Messages for one receiver, put together: a letter is one message, or a msgpack array of several.

    A letter has at most MAX_TOGETHER messages, and MAX_BATCH_BYTES unless a single message has more.
    """
    parts: list[bytes] = []
    size = 0
    for part in encoded:
        if parts and (size + len(part) > MAX_BATCH_BYTES or len(parts) == MAX_TOGETHER):
            yield _letter(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield _letter(parts)


def _letter(parts: list[bytes]) -> bytes:
    if len(parts) == 1:
        return parts[0]
    return b'\xdd%b%b' % (len(parts).to_bytes(4, 'big'), b''.join(parts))  # msgpack's "array 32"


def requests_in(letter: bytes) -> list[AnyRequest]:
    """What a client sent. Like all decoders here it raises ``Malformed`` for anything else."""
    found = _requests_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def replies_in(letter: bytes) -> list[AnyReply]:
    """What the broker answered a client."""
    found = _replies_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def from_worker_in(letter: bytes) -> list[AnyFromWorker]:
    """What a worker sent."""
    found = _from_worker_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def to_worker_in(letter: bytes) -> list[AnyToWorker]:
    """What the broker told a worker."""
    found = _to_worker_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def published_in(letter: bytes) -> list[AnyBroadcast]:
    """What came on PUB."""
    found = _published_decoder.decode(letter)
    return found if isinstance(found, list) else [found]
