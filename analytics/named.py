"""The named queries of queries.sql."""

import re
from pathlib import Path


def _named(text: str) -> dict[str, str]:
    names = re.split(r'^-- name: (\w+)$', text, flags=re.MULTILINE)
    return dict(zip(names[1::2], names[2::2], strict=True))


SQL = _named(Path(__file__).with_name('queries.sql').read_text(encoding='utf-8'))
