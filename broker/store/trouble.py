"""What can go wrong with a file, as one sentence that says what to do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from broker import errors

_TROUBLE = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.ReadOnlyError)  # of the disk, not of ours


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Trouble with the disk is ``errors.StoreFull`` or ``errors.StoreError``; any other error is ours and stays."""
    try:
        yield
    except _TROUBLE as error:
        raise plain(error, path) from error


def plain(error: Exception, path: Path) -> errors.StoreError:
    """The error as one sentence that says what to do."""
    match error:
        case errors.StoreError():
            return error
        case apsw.FullError():
            return errors.StoreFull(f'the disk that holds {path} is full')
        case apsw.BusyError():
            return errors.StoreError(f'{path} is in use by another process')
        case apsw.NotADBError() | apsw.CorruptError():
            return errors.StoreError(
                f'{path} is damaged ({error}); move it away to begin with an empty queue, or restore a copy of it.'
            )
        case _:
            return errors.StoreError(f'{path} cannot be read or written: {error}')
