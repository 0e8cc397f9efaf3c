"""Tables of the statistics as files: the running desk writes them, since it alone has them open."""

import contextlib
import datetime
import http.client
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from analytics import cells
from app.commands.command import CommandError, Exit, Here

PATIENCE_S = 60.0  # without a byte
CHUNK = 1 << 18
LONGEST_S = 400 * 86_400.0  # the desk gives so much at once
AHEAD_S = 60.0  # so that what has just happened is in it


def export(here: Here, table: str, form: str, after: float, to: Path | None) -> None:
    """Write a table from ``after`` on (0: all that the desk gives) to a file or stdout. Raises ``CommandError``."""
    corral = here.corral()
    until = time.time() + AHEAD_S
    span = {'from': _moment(max(after, until - LONGEST_S)), 'to': _moment(until)}
    address = f'{corral.url}/desk/statistics/{urllib.parse.quote(table, safe="")}.{form}?{urllib.parse.urlencode(span)}'
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with directly.open(address, timeout=PATIENCE_S) as answer, _target(to) as file:
            piece = _read(answer)
            if to is None:  # programs read on; a file may be opened by Excel, which wants the mark
                piece = piece.removeprefix(cells.BOM.encode())
            while piece:
                file.write(piece)
                piece = _read(answer)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(500).decode(errors='replace').strip()
        raise CommandError(said if error.headers.get_content_type() == 'text/plain' else _AWRY) from None
    except urllib.error.URLError:
        raise CommandError(f'The desk at {corral.url} does not answer.', Exit.NO_CORRAL) from None
    except OSError as error:
        raise CommandError(
            f'{to or "The table"} cannot be written: {(error.strerror or str(error)).lower()}.'
        ) from None
    if to:
        here.out.note(f'The table {table} is in {to}.')


_AWRY = 'The desk does not give its statistics: it may have been started without its pages.'


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(CHUNK)
    except (OSError, http.client.HTTPException):
        raise CommandError('The desk broke off before the table was complete. Try again.') from None


@contextlib.contextmanager
def _target(to: Path | None) -> Iterator[IO[bytes]]:
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with to.expanduser().open('wb') as file:
            yield file


def _moment(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()
