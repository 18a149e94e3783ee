"""The form of every refusal: one line, with what to do in brackets."""

import pytest
from serving import TOKEN


def refused(kind, call, *arguments, **options):
    """The message of a refusal, whose form is checked; the token is not in it."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(")")
    assert TOKEN not in message
    return message
