"""Why a wish of somebody who chats cannot be granted."""


class ChatError(Exception):
    """The wish cannot be granted. ``code`` is 'empty', 'too_long' (with size and limit), 'no_model', 'gone', 'started',
    'busy' (an answer is on its way), 'choose' (one of two answers has to be kept first), 'too_many' (with limit), or of
    a file 'file_kind', 'file_empty', 'file_large' (with size and limit), 'file_gone', 'files_large', 'file_room' (with
    limit).
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values
