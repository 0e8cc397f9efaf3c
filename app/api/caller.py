"""Who calls and how urgently, as the headers of a request say it."""

from starlette.requests import Request

from app.api.trouble import Trouble
from broker.job import DEFAULT_PRIORITY, MAX_PRIORITY, MIN_PRIORITY

PRIORITY_HEADER = 'x-queue-priority'
USER_HEADERS = ('x-queue-user', 'x-openwebui-user-id')
NAMES = {'critical': 15, 'realtime': 15, 'high': 10, 'normal': 5, 'low': 1, 'batch': 0}
MAX_USER = 300  # what the queue takes


def priority_of(request: Request, default: int = DEFAULT_PRIORITY) -> int:
    """``X-Queue-Priority``: 0 to 15, or a name; ``default`` where there is none. Raises ``Trouble``."""
    asked = request.headers.get(PRIORITY_HEADER, '').strip().lower()
    if not asked:
        return default
    if asked in NAMES:
        return NAMES[asked]
    if asked.isascii() and asked.isdigit() and MIN_PRIORITY <= int(asked[:4]) <= MAX_PRIORITY:
        return int(asked)
    names = ', '.join(NAMES)
    raise Trouble(
        'bad_request',
        f'X-Queue-Priority must be {MIN_PRIORITY} to {MAX_PRIORITY} or one of {names}, not "{asked[:40]}"',
    )


def user_of(request: Request, named: str | None = None) -> str:
    """For whom the job is, which is who shares fairly with others: by header, else ``named``, else the address."""
    by_header = next(filter(None, (request.headers.get(name, '').strip() for name in USER_HEADERS)), '')
    address = request.client.host if request.client else ''
    return (by_header or named or address)[:MAX_USER]


def key_of(request: Request) -> str:
    """``Idempotency-Key``: the same request with the same key is the same job."""
    return request.headers.get('idempotency-key', '').strip()


def patience_of(request: Request) -> float:
    """After how many seconds of silence the client gives up, as the SDKs announce it; 0 when it did not say."""
    for name in ('x-stainless-read-timeout', 'x-stainless-timeout'):
        try:
            announced = float(request.headers.get(name, ''))
        except ValueError:
            continue
        if 0 < announced < 1e9:
            return announced
    return 0.0


def request_id_of(request: Request, otherwise: str) -> str:
    """The id that the client gave its request, where it can be sent back; else ``otherwise``."""
    given = request.headers.get('x-request-id', '')
    return given if given.isascii() and given.isprintable() and 0 < len(given) <= 200 else otherwise
