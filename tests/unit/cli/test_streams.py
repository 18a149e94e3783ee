"""Commands that read a stream, or collect several."""

import pytest

import schedtel


@pytest.mark.parametrize("command", ["show", "subscribe"])
@pytest.mark.parametrize("kind", ["ndjson", "arrow"])
def test_a_served_recording_gives_the_bytes_of_the_recording(run, recording, command, kind):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0") as server:
        status, out, err = run(command, server.uri, "--format", kind)
    assert (status, err) == (0, "")
    assert out
    assert out == run("show", recording, "--format", kind)[1]


def test_a_token_from_a_file_lets_in_and_is_never_printed(run, recording, tmp_path):
    token = "0123456789abcdef-from-a-file"
    (tmp_path / "token").write_text(token)
    (tmp_path / "token").chmod(0o600)
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0", token=token) as server:
        status, out, err = run("subscribe", server.uri, "--token-file", tmp_path / "token")
        refused = run("subscribe", server.uri)
    assert status == 0
    assert refused[0] == 2
    assert "SCHEDTEL_TOKEN" in refused[2]
    assert not any(token in text for text in (out, err, *refused[1:]))


def test_collect_writes_a_dataset_that_show_reads(run, recording, tmp_path):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0") as server:
        status, _, err = run("collect", server.uri, "-o", tmp_path / "fleet")
    assert status == 0
    assert err == f"collected 3 windows of 1 server to {tmp_path / 'fleet'}: no gaps\n"
    assert run("show", tmp_path / "fleet", "--format", "ndjson") == run("show", recording, "--format", "ndjson")


def test_collect_says_which_server_refused_for_good(run, recording, tmp_path):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0", token="0123456789abcdef") as server:
        status, _, err = run("collect", server.uri, "-o", tmp_path / "fleet")
    assert status == 1
    assert "the token is missing or wrong" in err.splitlines()[0]
