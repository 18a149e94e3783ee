"""Answers of an OpenTelemetry collector in; why a push was not kept out.

The SDK's exporter takes every answer below 400 for success and does not look at its body. But a redirection keeps
nothing, a partial success keeps a part, and a login page is no collector. So the answers are judged here, by OTLP's
specification (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response").
"""

from __future__ import annotations

import io
import json
from typing import Any

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no types
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

#: A collector's answer is some hundred bytes at most; no more than this is read of one.
_LONGEST_ANSWER = 64 << 10
#: Most characters of a collector's own words that are shown.
_LONGEST_WORDS = 200


class Answers(requests.Session):
    """The HTTP session of an exporter. ``why_not``: why the newest answer kept nothing, or not all; empty if it did."""

    def __init__(self) -> None:
        super().__init__()
        self.why_not = ""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, without following a redirection, and judge the answer."""
        self.why_not = ""
        response = super().send(request, **options | {"allow_redirects": False, "stream": True})
        body = response.raw.read(_LONGEST_ANSWER, decode_content=True) or b""
        response.close()
        response.raw = io.BytesIO(body)
        self.why_not = judged(response.status_code, response.headers.get("Content-Type", ""), body)
        return response


def judged(status: int, kind: str, body: bytes) -> str:
    """Why a push with this answer was not kept; empty if all of it was, or if the exporter itself tells the failure.

    :param kind: the answer's ``Content-Type``.
    """
    if 300 <= status < 400:
        return f"it answered {status}, a redirection, and kept nothing (give the URL that it redirects to)"
    if not 200 <= status < 300 or not body:  # an empty body is an empty message, a full success
        return ""
    try:
        rejected, words = _partial(kind, body)
    except (DecodeError, ValueError, TypeError, AttributeError, RecursionError):
        return f"it answered {status}, but not as a collector does (is it the URL of one?)"
    return f"it rejected {rejected} data points: {printable(words) or 'it does not say why'}" if rejected > 0 else ""


def _partial(kind: str, body: bytes) -> tuple[int, str]:
    """The number of rejected data points, and why, of an answer in protobuf or JSON."""
    if kind.partition(";")[0].strip().lower() == "application/json":
        partial = json.loads(body).get("partialSuccess") or {}
        return int(partial.get("rejectedDataPoints", 0)), str(partial.get("errorMessage", ""))
    message = ExportMetricsServiceResponse.FromString(body).partial_success
    return message.rejected_data_points, message.error_message


def printable(text: str) -> str:
    """The words of another machine in one line of printable characters."""
    words = " ".join(text.split())[:_LONGEST_WORDS]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
