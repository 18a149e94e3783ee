"""The file of a machine: what is written is read back, and what cannot be a machine is refused."""

import pytest

from schedtel.errors import UsageError
from schedtel.simulator.machine import Machine
from schedtel.simulator.machine_file import DURATIONS, machine_text, read_machine

GIVEN = {name: 1000 * number + number % 2 for number, (name, _) in enumerate(DURATIONS.values(), 1)}
GIVEN |= {"slower_millionths": 12_500, "steal_thousandths": 300, "cold": ((65_536, 700), (1 << 20, 56_000))}


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "machine.toml"
    path.write_text(machine_text(GIVEN, "a line\nand another"))
    assert read_machine(path) == GIVEN


def test_a_size_between_two_costs_what_lies_between_and_beyond_the_last_in_proportion():
    machine = Machine(migration_ns=10, cold=((1000, 100), (3000, 500)))
    assert [machine.warming_ns(size) for size in (0, 500, 1000, 2000, 3000, 6000)] == [10, 50, 100, 300, 500, 1000]
    assert Machine(migration_ns=0, cold=((1000, 100),)).warming_ns(1000) == 0


REFUSED = {
    'tick = "0s"': "tick 0 ns",
    'tik = "4ms"': "did you mean 'tick'",
    "tick = 4": "a duration",
    "slower = 2": "from -0.5 to 1",
    "steals = 2": "from 0 to 1",
    "cold = [[1, 2], [3]]": "[bytes, ns]",
    "cold = [[2, 2], [1, 3]]": "that rise",
    "cold = [[0, 2]]": "none of 0",
    "cold = [[1, true]]": "that rise",
    "cold = 5": "list",
    "nonsense": "write TOML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "machine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_machine(path)
    assert REFUSED[text] in str(caught.value)
