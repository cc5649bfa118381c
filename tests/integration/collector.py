"""An OpenTelemetry collector that takes traces (OTLP over HTTP, JSON), and is strict about their form."""

import http.server
import json
import re
import threading
import time
from typing import Any, Dict, List, Tuple

KINDS = {1: "internal", 3: "client"}


def attributes(listed: List[Dict[str, Any]]) -> Dict[str, Any]:
    read: Dict[str, Any] = {}
    for one in listed:
        assert set(one) == {"key", "value"} and one["key"] not in read, one
        (kind, value), = one["value"].items()
        assert kind in ("stringValue", "intValue") and isinstance(value, str), one
        read[one["key"]] = int(value) if kind == "intValue" else value
    return read


class Span:
    def __init__(self, raw: Dict[str, Any], resource: Dict[str, Any]) -> None:
        allowed = {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
                   "status"}
        assert set(raw) <= allowed, raw
        assert re.fullmatch("[0-9a-f]{32}", raw["traceId"]) and re.fullmatch("[0-9a-f]{16}", raw["spanId"]), raw
        assert re.fullmatch("[0-9a-f]{16}", raw.get("parentSpanId", "0" * 16)), raw
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            assert isinstance(raw[name], str) and raw[name].isdigit(), "64-bit numbers are texts"
        self.trace, self.id, self.parent = raw["traceId"], raw["spanId"], raw.get("parentSpanId")
        self.name, self.kind = raw["name"], KINDS[raw["kind"]]
        self.from_ns, self.to_ns = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
        self.told = attributes(raw.get("attributes", []))
        self.error = raw.get("status", {}).get("message") if raw.get("status", {}).get("code") == 2 else None
        self.resource = resource
        assert 1.6e18 < self.from_ns <= self.to_ns < 2.5e18, raw


class Collector:
    """Answers with `status`; `slow` is how long it takes (s)."""

    def __init__(self) -> None:
        self.status, self.slow = 200, 0.0
        self.headers: Dict[str, str] = {}  # of the answer
        self.requests: List[Tuple[float, Dict[str, str], int]] = []  # when, headers, how many spans
        self.spans: List[Span] = []
        self.errors: List[str] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    spans = collector.read(self.path, self.headers["Content-Type"], body)
                except Exception as error:  # it is shown by the test, not by this thread
                    collector.errors.append(f"{error!r}: {body[:2000]!r}")
                    spans = []
                collector.requests.append((time.monotonic(), dict(self.headers), len(spans)))
                time.sleep(collector.slow)
                if collector.status == 200:
                    collector.spans += spans
                try:
                    self.send_response(collector.status)
                    for name, value in collector.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")
                except OSError:
                    pass  # it was not waited for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def read(path: str, content_type: str, body: bytes) -> List[Span]:
        assert (path, content_type) == ("/v1/traces", "application/json")
        message = json.loads(body.decode("utf-8"))
        spans = []
        assert set(message) == {"resourceSpans"}
        for one in message["resourceSpans"]:
            assert set(one) == {"resource", "scopeSpans"}
            resource = attributes(one["resource"]["attributes"])
            for scope in one["scopeSpans"]:
                assert scope["scope"]["name"] == "tollgate"
                spans += [Span(raw, resource) for raw in scope["spans"]]
        return spans

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def traces(self) -> Dict[str, List[Span]]:
        """Booking → its spans, the root first."""
        assert not self.errors, self.errors
        roots = [span for span in self.spans if span.name == "booking"]
        found: Dict[str, List[Span]] = {}
        for root in roots:
            assert root.told["tollgate.booking"] not in found, "one trace of each booking"
            children = [span for span in self.spans if span.trace == root.trace and span is not root]
            assert all(span.parent == root.id for span in children)
            found[root.told["tollgate.booking"]] = [root, *sorted(children, key=lambda span: (span.from_ns, span.to_ns))]
        return found

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
