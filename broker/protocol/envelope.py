"""What every message has in common: who asked, what any request may be answered with, and how large it may get."""

from typing import Annotated

import msgspec

VERSION = 1
MAX_MESSAGE_BYTES = 8 * 1024 * 1024  # ZeroMQ drops a peer that sends more, without a word to us
MAX_BODY_BYTES = 4 * 1024 * 1024  # so a job's body is checked against this before it is sent
MAX_BATCH_BYTES = 1024 * 1024  # a sender splits longer runs of lines
MAX_PAGE_BYTES = 4 * 1024 * 1024  # of the jobs in one reply; the workers stand beside them
MAX_TOGETHER = 1_000  # messages in one letter: nobody is held up by a larger one
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # what every database and language can hold


class Request(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what a client sends."""

    rid: int = 0


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what the broker answers a client."""

    rid: int = 0


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """The tightest limit that counts for a job: ``limit`` at once, so many of them left, what waits counted as if it
    had started; ``reset_s`` seconds without another one until all are left again.

    Where a queue is full it is the bound on what may wait, and ``reset_s`` is when to look again.
    """

    limit: int
    remaining: int
    reset_s: float


class Refused(Reply, frozen=True, kw_only=True):
    """No, and why. ``code`` is for programs, ``detail`` for people."""

    code: str
    detail: str
    retry_after_s: float = 0.0
    quota: Quota | None = None  # the bound that was reached, where it is one on the number of jobs


class Done(Reply, frozen=True, kw_only=True):
    """It was done as asked. ``note`` is what the sender may not have meant, in words for people."""

    note: str = ''
