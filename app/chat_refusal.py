"""Why a wish of somebody who chats cannot be granted."""


class ChatError(Exception):
    """The wish cannot be granted. ``code`` is 'empty', 'too_long' (with size and limit), 'no_model', 'gone' or
    'started'.
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values
