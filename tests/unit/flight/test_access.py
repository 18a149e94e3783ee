"""Access to streams: addresses, tokens, certificates; each refusal is one line that says what to do."""

import contextlib
import socket
import ssl

import pytest
from refusals import refused
from serving import TOKEN, assert_bit_identical, certificate

import schedtel
from schedtel.errors import StreamError, UsageError
from schedtel.flight import doorkeeper


@pytest.fixture(scope="module")
def recording(windows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "recording"
    recorder = schedtel.Recorder(folder)
    for window in windows:
        recorder.write(window)
    return schedtel.read(folder)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A folder of certificates: of an authority, a server, a client, a stranger; one expired, one for another host."""
    pytest.importorskip("cryptography", reason="needs cryptography to make certificates (pip install cryptography)")
    folder = tmp_path_factory.mktemp("pki")
    authority, other = certificate(folder, "authority"), certificate(folder, "other")
    certificate(folder, "server", authority)
    certificate(folder, "expired", authority, days=-1)
    certificate(folder, "elsewhere", authority, host="192.0.2.1")
    certificate(folder, "client", authority)
    certificate(folder, "stranger", other)
    return folder


def own(pki, name):
    return {"tls_cert": str(pki / f"{name}.pem"), "tls_key": str(pki / f"{name}.key")}


# ---- addresses ----


@pytest.mark.parametrize("uri", ["grpc://0.0.0.0:0", "grpc://[::]:0", "grpc://192.0.2.1:0", "grpc://example.org:1"])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_beyond_this_machine_nothing_is_served_without_encryption(recording, uri, token):
    assert "only TLS is served" in refused(UsageError, schedtel.serve, recording, uri, token=token)


def test_beyond_this_machine_nothing_is_served_without_a_token(recording, pki):
    uri = "grpc+tls://0.0.0.0:0"
    assert "--token-file" in refused(UsageError, schedtel.serve, recording, uri, **own(pki, "server"))
    with schedtel.serve(recording, uri, token=TOKEN, **own(pki, "server")) as server:
        assert server.uri.startswith("grpc+tls://0.0.0.0:")


def test_tls_needs_a_certificate_and_its_key(recording, pki, tmp_path):
    uri = "grpc+tls://127.0.0.1:0"
    assert "--tls-cert" in refused(UsageError, schedtel.serve, recording, uri)
    assert "--tls-key" in refused(UsageError, schedtel.serve, recording, uri, tls_cert=str(pki / "server.pem"))
    (tmp_path / "der").write_bytes(b"\x30\x82")
    wrong = {"tls_cert": str(tmp_path / "der"), "tls_key": str(pki / "server.key")}
    assert "not PEM" in refused(UsageError, schedtel.serve, recording, uri, **wrong)
    missing = {"tls_cert": "/no/such/file", "tls_key": str(pki / "server.key")}
    assert "No such file" in refused(UsageError, schedtel.serve, recording, uri, **missing)
    assert "not TLS" in refused(UsageError, schedtel.serve, recording, "grpc://127.0.0.1:0", **own(pki, "server"))


def test_an_address_in_use_is_refused(recording):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused(StreamError, schedtel.serve, recording, f"grpc://127.0.0.1:{taken.getsockname()[1]}")


def test_a_socket_in_a_directory_of_others_is_refused(recording, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    uri = f"grpc+unix://{tmp_path}/open/socket"
    assert "others may write there" in refused(UsageError, schedtel.serve, recording, uri)
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "file").write_text("mine")
    uri = f"grpc+unix://{tmp_path}/closed/file"
    assert "a file of that name" in refused(UsageError, schedtel.serve, recording, uri)
    assert (tmp_path / "closed" / "file").read_text() == "mine"


def test_the_socket_of_a_dead_server_is_taken_away(recording, tmp_path):
    path = tmp_path / "run" / "socket"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with schedtel.serve(recording, f"grpc+unix://{path}") as server, schedtel.subscribe(server.uri) as subscription:
        assert_bit_identical(list(subscription), list(recording))


# ---- tokens ----


@pytest.mark.parametrize("given", [None, "x" * 16, TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
def test_a_missing_or_wrong_token_is_refused(recording, given):
    with schedtel.serve(recording, "grpc://127.0.0.1:0", token=TOKEN) as server:
        assert "the token is missing or wrong" in refused(StreamError, schedtel.subscribe, server.uri, token=given)
        with schedtel.subscribe(server.uri, token=TOKEN) as subscription:
            assert_bit_identical(list(subscription), list(recording))


def test_without_the_token_nothing_at_all_is_answered(recording):
    import pyarrow.flight as fl  # noqa: PLC0415

    with schedtel.serve(recording, "grpc://127.0.0.1:0", token=TOKEN) as server:
        client = fl.connect(server.uri)
        asked = [
            lambda: list(client.list_flights()),
            lambda: client.get_flight_info(fl.FlightDescriptor.for_path("tasks")),
            lambda: list(client.do_get(fl.Ticket(b"x" * 100_000))),
            lambda: list(client.do_action(fl.Action("x", b""))),
            lambda: list(client.list_actions()),
        ]
        for ask in asked:
            with pytest.raises(fl.FlightUnauthenticatedError):
                ask()
        twice = fl.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKEN}".encode())] * 2)
        with pytest.raises(fl.FlightUnauthenticatedError):
            list(client.list_flights(b"", twice))
        client.close()


@pytest.mark.parametrize("token", ["", "short", "with blanks in it, and long", "ünprintäble-in-headers", "x" * 15])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(recording, token):
    refused(UsageError, schedtel.serve, recording, "grpc://127.0.0.1:0", token=token)


def test_a_token_is_not_sent_in_the_clear_over_a_network():
    message = refused(UsageError, schedtel.subscribe, "grpc://192.0.2.1:8815", token=TOKEN)
    assert "not encrypted" in message


# ---- certificates ----


@pytest.fixture(scope="module")
def secured(recording, pki):
    """A server that asks for the token and for a certificate of our authority."""
    terms = own(pki, "server") | {"client_ca": str(pki / "authority.pem")}
    with schedtel.serve(recording, "grpc+tls://127.0.0.1:0", token=TOKEN, **terms) as server:
        yield server


def test_mutual_tls_with_a_token_gives_the_same_numbers(secured, pki, recording):
    trust = own(pki, "client") | {"ca": str(pki / "authority.pem")}
    with schedtel.subscribe(secured.uri, token=TOKEN, **trust) as subscription:
        assert_bit_identical(list(subscription), list(recording))


@pytest.mark.parametrize(
    ("client", "authority", "says"),
    [
        (None, "authority", "certificate"),
        ("stranger", "authority", "certificate"),
        ("client", "other", "not trusted"),
        ("client", None, "not trusted"),
    ],
)
def test_a_client_without_the_right_certificates_is_refused(secured, pki, client, authority, says):
    trust = (own(pki, client) if client else {}) | ({"ca": str(pki / f"{authority}.pem")} if authority else {})
    assert says in refused(StreamError, schedtel.subscribe, secured.uri, token=TOKEN, **trust)


@pytest.mark.parametrize(("name", "says"), [("expired", "has expired"), ("elsewhere", "another name")])
def test_a_certificate_that_does_not_hold_is_named(recording, pki, name, says):
    with schedtel.serve(recording, "grpc+tls://127.0.0.1:0", token=TOKEN, **own(pki, name)) as server:
        message = refused(StreamError, schedtel.subscribe, server.uri, token=TOKEN, ca=str(pki / "authority.pem"))
    assert says in message


def test_tls_on_one_side_only_is_refused(secured, recording, pki):
    refused(StreamError, schedtel.subscribe, secured.uri.replace("tls", "tcp"), token=TOKEN)
    with schedtel.serve(recording, "grpc://127.0.0.1:0") as server:
        uri = server.uri.replace("grpc:", "grpc+tls:")
        refused(StreamError, schedtel.subscribe, uri, ca=str(pki / "authority.pem"))


@pytest.mark.parametrize("said", ["nothing", "a hello"])
def test_a_handshake_that_does_not_end_is_ended(recording, pki, monkeypatch, said):
    """Also one that begins as it should, and then waits for ever."""
    monkeypatch.setattr(doorkeeper, "UNPROVEN_S", 1.0)
    terms = {"token": TOKEN, **own(pki, "server")}
    with schedtel.serve(recording, "grpc+tls://127.0.0.1:0", **terms) as server:
        with socket.create_connection(("127.0.0.1", int(server.uri.rpartition(":")[2])), 30) as half_open:
            if said == "a hello":
                half_open.sendall(_client_hello(pki))
                assert half_open.recv(5)[:1] == b"\x16", "it answers with its own hello"
            with contextlib.suppress(ConnectionError):
                while half_open.recv(65536):
                    pass
        with schedtel.subscribe(server.uri, token=TOKEN, ca=str(pki / "authority.pem")) as subscription:
            assert_bit_identical(list(subscription), list(recording))


def _client_hello(pki):
    """The first record of a TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(pki / "authority.pem"))
    context.set_alpn_protocols(["h2"])
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()
