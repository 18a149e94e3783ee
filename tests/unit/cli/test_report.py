"""`schedtel report` and `schedtel compare`: pages, tables and JSON."""

import json

import pytest
from samples import on_host

import schedtel
from schedtel.recordings.dataset import Dataset


@pytest.mark.parametrize(("host", "status", "told"), [(None, 2, "choose one: --host db"), ("db", 0, ": 2 windows, ")])
def test_a_page_is_of_one_host(run, windows, tmp_path, host, status, told):
    dataset = Dataset(tmp_path / "fleet")
    for window, name in zip(windows, ("web", "db", "db"), strict=True):
        dataset.write(on_host(window, name))
    chosen = ("--host", host) if host else ()
    found, _, err = run("report", tmp_path / "fleet", "-o", tmp_path / "page.html", *chosen)
    assert (found, told in err) == (status, True)
    assert (tmp_path / "page.html").exists() == (status == 0)


@pytest.mark.parametrize("name", ["report", "compare"])
def test_a_page_that_cannot_be_written_is_one_line(run, recording, tmp_path, name):
    directories = [recording] * (2 if name == "compare" else 1)
    for place in (tmp_path, tmp_path / "missing" / "page.html", "/dev/null/page.html"):
        status, out, err = run(name, *directories, "-o", place)
        assert (status, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith(f"schedtel: cannot write {place}")


def test_a_damaged_recording_makes_no_page(run, recording, tmp_path):
    (recording / "cpus" / "part-000001.parquet").write_bytes(b"PAR1")
    status, _, err = run("report", recording, "-o", tmp_path / "page.html")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_report_writes_a_page_and_says_so(run, recording, tmp_path):
    status, out, err = run("report", recording, "-o", tmp_path / "page.html")
    assert (status, out) == (0, "")
    assert "3 windows" in err
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_report_writes_a_page_to_stdout(run, recording, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("report", recording, "-o", "-")
    assert status == 0
    assert out.startswith("<!doctype html>")
    assert err.startswith("wrote stdout: 3 windows, ")
    assert list(tmp_path.iterdir()) == [recording]


def test_a_stream_is_drawn_and_compared_like_the_recording_it_is_of(run, recording, long_recording, tmp_path):
    def figures(*arguments):
        status, out, err = run("compare", *arguments, "--format", "json", "--resamples", "100")
        assert (status, err) == (0, "")
        document = json.loads(out)
        return document["metrics"], [document[letter]["windows"] for letter in "ab"]

    with schedtel.serve(schedtel.read(long_recording), "grpc://127.0.0.1:0") as server:
        for bound, windows in (((), 15), (("-n", "5"), 5), (("-d", "150ms"), 2)):
            found = figures(server.uri, server.uri, *bound)
            assert found == figures(long_recording, server.uri, *bound)
            assert found == figures(long_recording, long_recording, *bound)
            assert found[1] == [windows, windows]
        status, _, err = run("report", server.uri, "-n", "5", "-o", tmp_path / "page.html")
        refused = run("report", server.uri, "-d", "soon", "-o", tmp_path / "other.html")
    assert status == 0
    assert "5 windows" in err
    assert server.uri in (tmp_path / "page.html").read_text()
    assert refused[0] == 2
    assert len(refused[2].splitlines()) == 1


def test_compare_says_that_three_windows_tell_nothing(run, recording):
    status, out, err = run("compare", recording, recording)
    assert (status, err) == (0, "")
    assert "cannot tell" in out
    assert "Fewer than 8 windows" in out
    assert "\x1b" not in out


def test_compare_of_a_recording_with_itself_shows_no_difference(run, long_recording, tmp_path):
    options = ["--resamples", "100", "-o", tmp_path / "page.html"]
    status, out, _ = run("compare", long_recording, long_recording, *options)
    assert status == 0
    assert "no difference shown" in out
    assert "better in 0, worse in 0, and differs in 0" in out
    assert (tmp_path / "page.html").exists()
    assert "fairness J" not in run("compare", long_recording, long_recording, "--resamples", "100", "--differences")[1]


def test_compare_as_json_is_the_same_for_the_same_seed(run, recording, long_recording):
    arguments = ["compare", long_recording, recording, "--format", "json", "--resamples", "100", "--seed", "3"]
    first, again = (json.loads(run(*arguments)[1]) for _ in range(2))
    assert first == again
    assert first["a"]["windows"] == 15
    assert (first["seed"], first["resamples"]) == (3, 100)
    assert {metric["name"] for metric in first["metrics"]} >= {"wait_p99_ns", "tat_mean_ns", "fairness_jain"}
