"""Small files that a user names: without an end, without a writer, without a name."""

import os
import time

import pytest

from schedtel.access.files import open_to_write, read_file
from schedtel.access.tls import read_tls
from schedtel.access.tokens import read_token
from schedtel.errors import UsageError


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/dev/null", "/", "", "/no/such/file", "a\0b"])
def test_what_is_no_regular_file_is_refused(path):
    with pytest.raises(UsageError, match=r"^cannot read token "):
        read_file(path, "token")


def test_a_pipe_without_a_writer_is_not_waited_for(pipe):
    with pytest.raises(UsageError, match="it is no regular file"):
        read_file(pipe, "token")


def test_a_file_of_more_than_a_mebibyte_is_read_no_further(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * (1 << 20))
    assert len(read_file(str(path), "token")) == 1 << 20
    os.truncate(path, 1 << 40)
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        read_file(str(path), "token")


@pytest.mark.parametrize("files", [("", "", None), ("", None, None), (None, None, ""), (None, "", None)])
def test_an_empty_path_is_no_request_to_do_without(files):
    with pytest.raises(UsageError):
        read_tls(*files)
    with pytest.raises(UsageError):
        read_token("")


def test_a_pipe_is_written_to_once_it_has_a_reader(pipe):
    with pytest.raises(OSError, match="no program reads this pipe"):
        open_to_write(pipe, os.O_WRONLY)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    began = time.monotonic()
    writer = open_to_write(pipe, os.O_WRONLY)
    assert time.monotonic() - began < 1
    assert os.get_blocking(writer)
    os.close(writer)
    os.close(reader)
