"""A push counts as kept only if the collector's answer says so."""

import pytest
from exporting import OtlpServer, totals_of
from serving import unused_port

otlp = pytest.importorskip("schedtel.export.otlp", reason="needs opentelemetry-exporter-otlp-proto-http (pip install)")

PROTOBUF, JSON, HTML = ({"Content-Type": kind} for kind in ("application/x-protobuf", "application/json", "text/html"))
#: ExportMetricsServiceResponse{partial_success{rejected_data_points: 5, error_message: …}}
PARTIAL = b"\x0a\x0b\x08\x05\x12\x07too old"
ESCAPE = b"\x0a\x0b\x08\x05\x12\x07\x1b[31m\n."
WARNING = b"\x0a\x09\x12\x07too old"

#: Status, headers and body of an answer → why nothing, or not all, was kept; empty if all was.
ANSWERS = {
    "nothing to say": (200, PROTOBUF, b"", ""),
    "an accepted push": (202, {}, b"", ""),
    "a partial success of none": (200, PROTOBUF, b"\x0a\x00", ""),
    "a warning": (200, PROTOBUF, WARNING, ""),
    "JSON": (200, JSON, b"{}", ""),
    "partial": (200, PROTOBUF, PARTIAL, "it rejected 5 data points: too old"),
    "partial, with an escape sequence": (200, PROTOBUF, ESCAPE, r"it rejected 5 data points: \x1b[31m ."),
    "partial in JSON": (
        200,
        JSON,
        b'{"partialSuccess": {"rejectedDataPoints": "7"}}',
        "it rejected 7 data points: it does not say why",
    ),
    "a redirection": (302, {"Location": "/login"}, b"", "it answered 302, a redirection, and kept nothing (give the"),
    "another redirection": (308, {"Location": "/"}, b"", "it answered 308, a redirection, and kept nothing (give the"),
    "not modified": (304, {}, b"", "it answered 304, a redirection, and kept nothing (give the"),
    "a login page": (200, HTML, b"<html>Log in", "it answered 200, but not as a collector does (is it the URL"),
    "no JSON": (200, JSON, b"[[[", "it answered 200, but not as a collector does (is it the URL"),
    "other JSON": (200, JSON, b'{"partialSuccess": 3}', "it answered 200, but not as a collector does (is it the URL"),
    "a bomb": (200, HTML, bytes(1 << 20), "it answered 200, but not as a collector does (is it the URL"),
    "a refusal": (404, {}, b"", "it answered 404, reason: Not Found"),
}


@pytest.mark.parametrize(("status", "headers", "body", "why_not"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_judged_by_what_it_says_was_kept(windows, status, headers, body, why_not):
    with OtlpServer() as server:
        server.status, server.answer_headers, server.body = status, headers, body
        pusher = otlp.Pusher(totals_of(windows), server.url, 3600, pytest.fail)
        pusher.close()
    assert pusher.why_not.startswith(why_not) if why_not else pusher.why_not == ""
    assert pusher.why_not.isprintable()
    assert (pusher.pushed, pusher.failed) == ((0, 1) if why_not else (1, 0))


def test_where_nobody_listens_the_last_push_says_so_and_not_that_the_exporter_was_shut_down(windows, monkeypatch):
    """A push is waiting to try again when the end comes; the exporter breaks it off and refuses the last one."""
    monkeypatch.setattr(otlp, "_FAREWELL_S", 0.3)
    with unused_port() as port:
        pusher = otlp.Pusher(totals_of(windows), f"http://127.0.0.1:{port}", 0.05, lambda _line: None)
        pusher._thread.join(1.5)
        pusher.close()
        pusher._thread.join()
    assert pusher.why_not == "no program listens there"
    assert pusher.failed >= 1
