"""`schedtel record` where it cannot write."""

import pytest


def test_recording_into_a_directory_with_something_in_it_is_refused(run, tmp_path):
    (tmp_path / "already").write_text("here")
    status, _, err = run("record", "-o", tmp_path)
    assert status == 2
    assert "not empty" in err


@pytest.mark.parametrize("uri", ["", "file://"])
def test_what_cannot_be_recorded_leaves_no_directory_behind(run, tmp_path, uri):
    there = tmp_path / "there"
    there.mkdir()
    for place in (tmp_path / "made" / "for it", there):
        assert run("record", "-o", f"{uri}{place}", "--", "/no/such/command")[0] == 2
    assert list(tmp_path.iterdir()) == [there]


def test_a_directory_that_cannot_be_looked_for_is_named(run, tmp_path):
    status, _, err = run("record", "-o", tmp_path / ("long" * 100))
    assert status == 2
    assert err.startswith(f"schedtel: cannot write {tmp_path}")
