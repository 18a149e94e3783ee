"""The loader's choices, on the running kernel."""

from unittest import mock

import pytest
from observe import collecting, judge

from schedtel import core
from schedtel.errors import CapabilityError
from schedtel.filters import Filter


def test_a_kernel_that_refuses_the_walk_gets_the_iterators(start):
    real = core.object_image

    def refused(name):
        if name == "core_walk":
            raise CapabilityError("as if the verifier had refused it")
        return real(name)

    def observe():
        with mock.patch.object(core, "object_image", refused), collecting("100ms") as collected:
            start("storm", 50).wait()
        return (collected,)

    def verdict(collected):
        ended = [row for row in collected.rows(comm="schedtel-load") if row["completion_ns"] is not None]
        assert len(ended) == 51
        assert collected.losses() == {}

    judge(observe, verdict)


def test_a_mixed_installation_is_refused(monkeypatch):
    wrong = core.layout.CONTRACT | {"bank": core.layout.FOLDED}
    monkeypatch.setattr(core.layout, "CONTRACT", wrong)
    with pytest.raises(CapabilityError, match="struct bank differs"):
        core.CoreLoader(Filter())
