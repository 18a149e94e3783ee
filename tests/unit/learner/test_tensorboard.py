"""Files of TensorBoard's: read by the format's definition, beside the rows of the run."""

import math
import struct
import sys

import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")
pytest.importorskip("tensorboardX", reason="tensorboardX is not installed (pip install 'schedtel[tensorboard]')")

WORDS = ("train", "MigrateSim", "--environments", "16", "-q")
CHUNK = 16 * 16


def events(path):
    """Records of a file: a length, its checksum, as many bytes, their checksum."""
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415

    content, at = path.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield Event.FromString(content[at + 12 : at + 12 + length])
        at += 16 + length


def curves(directory):
    """What TensorBoard shows of a directory: a session that begins at a step hides what was before from it on."""
    found = {}
    for path in sorted(directory.iterdir(), key=lambda each: each.stat().st_mtime_ns):
        for event in events(path):
            if event.HasField("session_log"):
                found = {tag: [one for one in curve if one[0] < event.step] for tag, curve in found.items()}
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_the_files_have_the_rows_of_the_run_also_when_it_goes_on(run, tmp_path):
    for chunks in (2, 4):
        words = ("-o", tmp_path / "run", "--tensorboard", tmp_path / "board", "--steps", chunks * CHUNK)
        assert run(*WORDS, *words)[0] == 0
    rows = pq.read_table(tmp_path / "run" / "metrics.parquet").to_pylist()
    assert len(rows) == 4
    found = curves(tmp_path / "board")
    assert found.keys() == rows[0].keys() - {"steps"}
    for name, curve in found.items():
        assert [step for step, _ in curve] == [row["steps"] for row in rows]
        assert all(math.isclose(value, row[name], rel_tol=1e-6) for (_, value), row in zip(curve, rows, strict=True))


def test_a_directory_that_cannot_be_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, err = run(*WORDS, "-o", tmp_path / "run", "--tensorboard", tmp_path / "file")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "file" in err


def test_without_tensorboardx_it_is_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    status, out, err = run(*WORDS, "-o", tmp_path / "run", "--tensorboard", tmp_path / "board")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "pip install 'schedtel[tensorboard]'" in err
