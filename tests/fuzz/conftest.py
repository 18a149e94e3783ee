"""Windows to record, of which the fuzzer then damages the files."""

import machine
import pytest
import samples
from host_builds import compiled


@pytest.fixture(scope="session")
def windows(tmp_path_factory):
    """Three windows of a small simulated machine, as in the unit tests."""
    return samples.windows(machine.load(compiled(tmp_path_factory.mktemp("host"), "host_machine")))
