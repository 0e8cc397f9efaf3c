"""How a child process lives."""

import asyncio

from broker import child


def test_on_windows_the_loop_is_one_that_zeromq_can_use(monkeypatch):
    made = []

    class Selector(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__()
            made.append(self)

    async def loop():
        return asyncio.get_running_loop()

    monkeypatch.setattr(asyncio, 'SelectorEventLoop', Selector)
    assert child.run(loop()) is not None and made == []
    monkeypatch.setattr(child, 'WINDOWS', True)
    assert [child.run(loop())] == made
