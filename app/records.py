"""What the desk keeps for programs besides conversations: records by kind and name, in order, in ``desk.db``."""

from typing import Any

import apsw

from app.desk import Desk


class Records:
    """Documents as JSON text. ``tag`` is a word by which those of a kind can be told apart."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def put(self, kind: str, name: str, data: bytes, *, tag: str = '') -> None:
        """Store a new one, or change the one of this name, which keeps its place. Raises ``desk.DeskError``."""

        def write(db: apsw.Connection) -> None:
            db.execute(
                'INSERT INTO records (kind, name, tag, data) VALUES (?, ?, ?, ?) '
                'ON CONFLICT (kind, name) DO UPDATE SET tag = excluded.tag, data = excluded.data',
                (kind, name, tag, data),
            )

        await self._desk.run(write)

    async def get(self, kind: str, name: str) -> bytes | None:
        """One of them; None when there is none."""
        query = 'SELECT data FROM records WHERE kind = ? AND name = ?'
        found: list[Any] = await self._desk.run(lambda db: db.execute(query, (kind, name)).fetchall())
        return found[0][0] if found else None

    async def page(
        self, kind: str, *, tag: str = '', after: str = '', limit: int = 100, newest_first: bool = True
    ) -> tuple[list[bytes], bool]:
        """At most ``limit`` of them behind the one called ``after``, and whether more follow."""
        sign, direction = ('<', 'DESC') if newest_first else ('>', 'ASC')
        query = f"""SELECT data FROM records WHERE kind = ?1 AND ?2 IN ('', tag) AND (?3 = '' OR
                    number {sign} (SELECT number FROM records WHERE kind = ?1 AND name = ?3))
                    ORDER BY number {direction} LIMIT ?4"""
        values = (kind, tag, after, limit + 1)
        rows: list[Any] = await self._desk.run(lambda db: db.execute(query, values).fetchall())
        return [data for (data,) in rows[:limit]], len(rows) > limit

    async def drop(self, kind: str, name: str) -> bool:
        """Remove one for good; whether it was there."""

        def write(db: apsw.Connection) -> bool:
            db.execute('DELETE FROM records WHERE kind = ? AND name = ?', (kind, name))
            return db.changes() > 0

        return await self._desk.run(write)
