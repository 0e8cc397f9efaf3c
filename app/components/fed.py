"""An element whose content is pushed into it: it keeps what it shows, for a browser that shows it anew."""

from collections.abc import Callable
from typing import Any

from nicegui import ui


class Fed(ui.element):
    """``show(content)`` calls the method ``show`` in the browser when the content is other than before.

    The element emits 'ready' when it can be shown something, and may emit 'seen' with whether somebody looks at it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown: Any = None
        self.seen = False
        self.on_seen: Callable[[], Any] = lambda: None
        self.on('ready', self._send, [])
        self.on('seen', lambda event: self._see(bool(event.args)))

    def show(self, content: Any) -> None:
        """Show this."""
        if content != self.shown:
            self.shown = content
            self._send()

    def _send(self) -> None:
        if self.shown is not None:
            self.run_method('show', self.shown)

    def _see(self, seen: bool) -> None:
        self.seen = seen
        if seen:
            self.on_seen()
