"""Which backend a user may ask for."""

import pytest

from schedtel.errors import UsageError
from schedtel.kernel import selection
from schedtel.kernel.filters import Filter
from schedtel.kernel.settings import Tracing


def test_an_unknown_backend_is_refused():
    with pytest.raises(UsageError, match="auto, core or bcc"):
        selection.open_backend(Filter(), Tracing("bpftrace"))
