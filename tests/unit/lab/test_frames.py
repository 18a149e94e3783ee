"""Frames, cut anywhere by a serial line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedtel.errors import CollectorError
from schedtel.lab.frames import LONGEST, RESULTS, STDERR, STDOUT, FrameReader, framed


@given(
    contents=st.lists(st.tuples(st.sampled_from([STDOUT, STDERR, RESULTS]), st.binary(min_size=1, max_size=50))),
    step=st.integers(1, 64),
)
def test_frames_arrive_as_they_were_sent_however_the_line_cuts_them(contents, step):
    sent = b"".join(frame for kind, content in contents for frame in framed(kind, content))
    reader = FrameReader()
    arrived = [frame for at in range(0, len(sent), step) for frame in reader.feed(sent[at : at + step])]
    assert arrived == contents


def test_a_long_content_is_cut_and_is_whole_behind_the_line():
    content = bytes(range(256)) * 1000
    parts = [part for kind, part in FrameReader().feed(b"".join(framed(RESULTS, content))) if kind == RESULTS]
    assert len(parts) == -(-len(content) // LONGEST)
    assert b"".join(parts) == content


@pytest.mark.parametrize("noise", [b"Kernel panic", b"o\xff\xff\xff\xff"])
def test_what_is_no_frame_is_refused(noise):
    with pytest.raises(CollectorError, match="garbled"):
        list(FrameReader().feed(noise))
