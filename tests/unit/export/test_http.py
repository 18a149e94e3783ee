"""The endpoint of `schedtel export prometheus`: which clients may scrape it, and what it answers."""

import socket
import ssl

import pytest
from exporting import get, in_cgroups, read, samples, scrape, totals_of
from serving import TOKEN, certificate

from schedtel.errors import StreamError, UsageError
from schedtel.export.http import Endpoint


@pytest.fixture(scope="module")
def application(windows):
    prometheus = pytest.importorskip("schedtel.export.prometheus", reason="needs prometheus-client (pip install)")
    return prometheus.application(totals_of(windows))


def test_a_scrape_has_what_a_reading_has(windows, application):
    totals = totals_of(windows)
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        status, text = get(endpoint.url)
    assert status == 200
    found = samples(text)
    assert found == scrape(totals)
    for metric, series in read(totals).items():
        for labels, value in series.items():
            key = tuple(sorted(zip(metric.labels, labels, strict=True)))
            if metric.kind == "histogram":
                assert found[f"{metric.prometheus_name}_count", key] == value.counts.sum()
                assert found[f"{metric.prometheus_name}_sum", key] == value.sum_s
            else:
                assert found[metric.prometheus_name, key] == value


def test_a_hostile_cgroup_name_stays_a_label(windows):
    path = '/a"} 1\nschedtel_fake_total{x="\\'
    found = scrape(totals_of([in_cgroups(windows[0], [path])]))
    assert ("schedtel_cgroup_cpu_seconds_total", (("cgroup", path),)) in found
    assert not any(name == "schedtel_fake_total" for name, _ in found)


def test_nothing_but_metrics_is_served(application):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        assert [get(endpoint.url.replace("/metrics", path))[0] for path in ("/", "/metrics/..", "/x")] == [404] * 3


def test_openmetrics_is_spoken_to_who_asks_for_it(application):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        _, text = get(endpoint.url, Accept="application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "# UNIT schedtel_wait_seconds seconds" in text


@pytest.mark.parametrize("header", [None, "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_there_is_no_scrape(application, header):
    with Endpoint(application, "127.0.0.1:0", token=TOKEN) as endpoint:
        headers = {"Authorization": header} if header else {}
        assert get(endpoint.url, **headers)[0] == 401
        assert get(endpoint.url, Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pytest.importorskip("cryptography", reason="needs cryptography to make certificates (pip install cryptography)")
    folder = tmp_path_factory.mktemp("pki")
    authority = certificate(folder, "authority")
    certificate(folder, "server", authority)
    certificate(folder, "client", authority)
    return folder


def own(pki):
    return {"tls_cert": str(pki / "server.pem"), "tls_key": str(pki / "server.key")}


def test_beyond_this_machine_only_tls_with_a_token_is_served(application, pki):
    for terms in ({}, {"token": TOKEN}, own(pki)):
        with pytest.raises(UsageError, match=r"^cannot listen on 0\.0\.0\.0:0: .*\)$"):
            Endpoint(application, "0.0.0.0:0", **terms)
    with Endpoint(application, "0.0.0.0:0", token=TOKEN, **own(pki)) as endpoint:
        assert endpoint.url.startswith("https://0.0.0.0:")


def test_files_that_cannot_be_used_are_named_one_by_one(application, tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no PEM")
    pair = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    with pytest.raises(UsageError, match=rf"^cannot use {tmp_path}/cert\.pem, {tmp_path}/key\.pem for TLS: "):
        Endpoint(application, "127.0.0.1:0", **pair)


def test_with_a_client_authority_only_its_clients_scrape(application, pki):
    trust = ssl.create_default_context(cafile=str(pki / "authority.pem"))
    with Endpoint(application, "127.0.0.1:0", client_ca=str(pki / "authority.pem"), **own(pki)) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])

        def ask():
            with (
                socket.create_connection(("127.0.0.1", port), 10) as plain,
                trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                secure.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                return secure.recv(12)

        with pytest.raises(OSError, match=r"certificate required|reset|EOF|Broken pipe"):
            ask()
        trust.load_cert_chain(pki / "client.pem", pki / "client.key")
        assert ask() == b"HTTP/1.0 200"


def test_one_who_says_nothing_does_not_hold_up_the_others(application, pki):
    """This holds where the server expects a handshake too. Of too many that are silent, it closes the oldest."""
    with Endpoint(application, "127.0.0.1:0", **own(pki)) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])
        silent = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(60)]
        trust = ssl.create_default_context(cafile=str(pki / "authority.pem"))
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert secure.recv(12) == b"HTTP/1.0 200"
        silent += [socket.create_connection(("127.0.0.1", port), 10) for _ in range(10)]
        assert silent[0].recv(1) == b""
        for connection in silent:
            connection.close()


def test_an_address_in_use_is_refused(application):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StreamError, match="in use"):
        Endpoint(application, f"127.0.0.1:{taken.getsockname()[1]}")
