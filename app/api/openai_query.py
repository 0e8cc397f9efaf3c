"""What stands behind the question mark of a request to OpenAI's API."""

from starlette.requests import Request

from app.api.trouble import Trouble


class Query:
    """Reads its fields. Raises ``Trouble`` that names the one that is wrong."""

    def __init__(self, request: Request) -> None:
        self._found = request.query_params

    def text(self, name: str) -> str:
        """A text; '' where it is not there."""
        return self._found.get(name, '')[:300]

    def yes(self, name: str) -> bool:
        """Whether it says true."""
        return self._found.get(name, '').lower() in ('true', '1')

    def number(self, name: str, otherwise: int, least: int, most: int = 2**31) -> int:
        """A whole number from ``least`` to ``most``."""
        text = self._found.get(name)
        if text is None:
            return otherwise
        try:
            number = int(text[:12])
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise Trouble('bad_request', f'{name} must be a whole number from {least} to {most}.', param=name)
        return number

    @property
    def newest_first(self) -> bool:
        """The order of a list."""
        order = self._found.get('order', 'desc')
        if order not in ('asc', 'desc'):
            raise Trouble('bad_request', 'order must be asc or desc.', param='order')
        return order == 'desc'
