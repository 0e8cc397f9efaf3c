"""What our own API says of a request that does not fit its form."""

import pytest

from tests.app.api.door import Door


@pytest.mark.parametrize(
    ('asked', 'message', 'param'),
    [
        (
            {'model': 'm', 'prompt': 'x', 'priority': 'urgent'},
            'Input should be a whole number from 0 to 15, or a name like high, normal or low (priority).',
            'priority',
        ),
        (
            {'model': 'm', 'prompt': 'x', 'priority': 99},
            'Input should be a whole number from 0 to 15, or a name like high, normal or low (priority).',
            'priority',
        ),
        ([], 'Input should be a JSON object.', None),
        ({'model': 5, 'prompt': 'x'}, 'Input should be a valid string (model).', 'model'),
    ],
)
async def test_a_value_that_does_not_fit_is_named_with_what_would(asked, message, param):
    async with Door() as door:
        call = await door.post('/api/jobs', asked).end()
    assert call.status == 422
    error = call.json['error']
    assert (error['code'], error['message'], error.get('param')) == ('invalid', message, param)
