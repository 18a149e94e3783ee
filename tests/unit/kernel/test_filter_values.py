"""A filter's condition with several values: what it becomes, how it is told, and what is refused."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from schedtel.errors import UsageError
from schedtel.kernel.btf import dtype_members
from schedtel.kernel.core.programs import packed
from schedtel.kernel.filters import MOST_VALUES, Filter
from schedtel.records import layout


def test_one_value_in_a_list_is_that_value():
    assert Filter(pid=[5], comm=("a",), uid=[7, 7]) == Filter(pid=5, comm="a", uid=7)
    assert hash(Filter(uid=[1, 2])) == hash(Filter(uid=(1, 2)))


def test_a_text_is_one_value_and_not_its_letters():
    assert Filter(comm="ab").describe() == "comm=ab"
    assert Filter(comm="ab").settings()["by_comm"] == 1


def test_values_keep_their_order_and_come_once():
    assert Filter(pid=[2, 1, 2], comm=["b", "a"]).describe() == "pid=2,1 comm=b,a"


def test_several_values_fill_the_first_places():
    here, parent = os.getpid(), os.getppid()
    fields = Filter(pid=[here, parent], uid=range(MOST_VALUES)).settings()
    assert (fields["by_process"], fields["tgid"]) == (2, (here, parent, 0, 0, 0, 0, 0, 0))
    assert (fields["by_uid"], fields["uid"]) == (8, (0, 1, 2, 3, 4, 5, 6, 7))
    fields = Filter(comm=["a", "bc"]).settings()
    assert [hex(words[0]) for words in fields["comm_mask"]] == ["0xff", "0xffff"] + ["0x0"] * 6


def test_the_core_object_gets_every_value_at_its_place():
    image = packed(dtype_members(layout.SETTINGS), Filter(comm=["abc", "de"], uid=[3, 2**32 - 2]).settings())
    [settings] = np.frombuffer(image, layout.SETTINGS)
    assert settings["uid"].tolist() == [3, 2**32 - 2] + [0] * 6
    assert [words.tobytes().rstrip(b"\0") for words in settings["comm_value"]] == [b"abc", b"de"] + [b""] * 6


def test_many_threads_of_this_process_may_be_named():
    tids, done = [], threading.Event()
    threads = [threading.Thread(target=lambda: (tids.append(threading.get_native_id()), done.wait())) for _ in "123"]
    for thread in threads:
        thread.start()
    try:
        while len(tids) < len(threads):
            pass
        assert Filter(tid=tids).settings()["tid"][:3] == tuple(tids)
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"uid": range(MOST_VALUES + 1)}, "cannot filter by 9 values of uid: at most 8"),
        ({"comm": list("abcdefghi")}, "cannot filter by 9 values of comm: at most 8"),
        ({"pid": []}, "cannot filter by an empty list of pid"),
        ({"cgroup": ()}, "cannot filter by an empty list of cgroup"),
        ({"pid": [os.getpid(), 0]}, "cannot filter by process 0: no such process"),
        ({"uid": [0, -1]}, "cannot filter by uid -1"),
        ({"comm": ["a", ""]}, "cannot filter by command name ''"),
    ],
)
def test_wrong_values_are_refused_in_one_line(wrong, says):
    with pytest.raises(UsageError, match=says) as caught:
        Filter(**wrong).settings()
    assert "\n" not in str(caught.value)


def test_the_programs_and_the_arrays_have_room_for_as_many():
    records = (Path(__file__).parents[3] / "bpf" / "records.h").read_text()
    assert f"#define FILTER_VALUES {MOST_VALUES}\n" in records
    assert layout.FILTER_VALUES == MOST_VALUES
