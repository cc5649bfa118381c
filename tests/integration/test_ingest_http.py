"""Ingest as a web server: what it makes of requests that are odd, huge, slow, broken or hostile."""

import select
import socket
import struct
import time

import pytest

from harness import House, sample, wait_for
from wire import Door, request, webhook

MIB = 1024 * 1024
REQUEST_S = 10  # CONNECTIONS_REQUEST_MS; looked at once a second


@pytest.fixture
def door(house):
    return Door(house)


@pytest.fixture
def wire(door):
    with door.wire() as wire:
        yield wire


def padded(id, size):
    """A whole webhook of exactly so many bytes: white space behind JSON is still JSON."""
    return webhook(id).ljust(size)


def chunked(body, size=700, headers=None):
    """The same with a transfer coding in place of a length."""
    head = request(body, {"Content-Length": None, "Transfer-Encoding": "chunked", **(headers or {})})
    head = head[:len(head) - len(body)]
    chunks = (body[i:i + size] for i in range(0, len(body), size))
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


# ---- Methods and paths ----

@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_405_and_names_post(wire, method):
    wire.send(request(method=method))
    answer = wire.answer(has_body=method != "HEAD")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", ["TRACE", "FOO", "get", "POSTS"])
def test_a_method_that_nobody_knows_is_refused(door, wire, method):
    assert wire.ask(request(webhook(1), method=method)).status in (400, 405, 501)
    assert door.queue() == []


@pytest.mark.parametrize("path", ["/", "/webhooks", "/webhook/", "//webhook", "/webhook/x", "/WEBHOOK", "/healthz",
                                  "/metrics", "/../webhook", "/webhook%00", "*", "webhook"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_another_path_is_404(door, wire, method, path):
    assert wire.ask(request(webhook(1), method=method, path=path)).status == 404
    assert door.queue() == []


@pytest.mark.parametrize("path", ["/webhook?source=cal", "/webhook?", "http://tollgate.example/webhook"])
def test_the_same_path_in_other_words(wire, path):
    assert wire.ask(request(webhook(1), path=path)).status == 202


def test_the_admin_pages_are_on_the_admin_address_only(door):
    assert [door.ingest.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    assert door.ingest.get("/webhook").status_code == 404
    assert door.ingest.http.post(door.ingest.admin + "/webhook", data=b"{}", timeout=5).status_code in (404, 405, 501)


# ---- Sizes ----

def test_a_body_may_have_one_mib_and_not_a_byte_more(door, wire):
    assert wire.ask(request(padded(1, MIB))).status == 202
    assert wire.ask(request(padded(2, MIB + 1))).status == 413
    assert door.ask(padded(3, 5 * MIB)).status == 413
    assert door.queue() == ["1"]


def test_the_same_limit_holds_for_chunks(door):
    with door.wire() as wire:
        assert wire.ask(chunked(padded(1, MIB), 65536)).status == 202
    with door.wire() as wire:
        assert wire.ask(chunked(padded(2, MIB + 1), 65536)).status == 413
    assert door.queue() == ["1"]


def test_a_header_of_more_than_64_kib_is_431(door):
    assert door.ask(webhook(1), headers={"X-Filler": "x" * 60000}).status == 202
    for headers in [{"X-Filler": "x" * 66000}, {f"X-Filler-{i}": "x" * 100 for i in range(700)}]:
        assert door.ask(webhook(2), headers=headers).status == 431
    # Far above it the HTTP library gives up by itself.
    assert door.ask(webhook(2), headers={"X-Filler": "x" * 500000}).status in (400, 431)
    assert door.ask(webhook(2), path="/webhook?" + "x" * 500000).status in (400, 414, 431)
    assert door.queue() == ["1"]


# ---- Where a request ends ----

def smuggle(headers):
    """A body that is a whole signed webhook: taken for a second request it would be recorded."""
    return request(request(webhook(666)), headers)


LENGTHS = ["-1", "abc", "", "5 5", "5,5", "0x10", "1e2", "3\t4"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_no_number_is_400(door, wire, length):
    assert wire.ask(request(webhook(1), {"Content-Length": length})).status == 400
    wire.rest()
    assert door.queue() == []


def test_two_lengths_are_400_and_the_connection_closes(door):
    body = webhook(1)
    for second in [len(body), 5, 0]:
        with door.wire() as wire:
            answer = wire.ask(request(body, {"Content-length": second}))
            assert (answer.status, answer.headers["connection"], wire.rest()) == (400, "close", b"")
    assert door.queue() == []


def test_a_length_beside_a_transfer_coding_is_400_and_the_connection_closes(door):
    for length in [0, 5, len(webhook(1))]:
        with door.wire() as wire:
            answer = wire.ask(chunked(webhook(1), headers={"Content-Length": length}))
            assert (answer.status, answer.headers["connection"], wire.rest()) == (400, "close", b"")
    assert door.queue() == []


@pytest.mark.parametrize("headers", [
    {"Content-Length": None, "Transfer-Encoding": "xchunked"},
    {"Content-Length": None, "Transfer-Encoding": "gzip"},
    {"Content-Length": None, "Transfer-Encoding": "identity"},
    {"Content-Length": None, "Transfer-Encoding ": "chunked"},
    {"Content-Length": None, "Content-Length ": "3000"},
    {"Content-Length": "0", "Transfer-Encoding": "chunked"},
], ids=str)
def test_a_body_is_never_read_as_the_next_request(door, wire, headers):
    """A proxy before us may have read it as the body that it is."""
    answer = wire.ask(smuggle(headers))
    assert answer.status in (400, 501)
    assert (wire.rest(), door.queue()) == (b"", [])


def test_chunks_of_any_size(door):
    for id, size in enumerate([1, 7, 100, 4096], 1):
        with door.wire() as wire:
            assert wire.ask(chunked(webhook(id), size)).status == 202
            assert wire.ask(chunked(webhook(id), size)).status == 200, "the next request on the connection"
    with door.wire() as wire:
        with_trailer = chunked(webhook(9))[:-2] + b"X-Trailer: 1\r\n\r\n"
        assert wire.ask(with_trailer).status == 202
    assert len(door.queue()) == 5


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n", b"-5\r\nabcde\r\n", b"ffffffffffffffffff\r\nabc",
                                   b"7fffffffffffffff\r\nabc"])
def test_broken_chunks_are_refused(door, wire, chunk):
    head = chunked(b"")[:-len(b"0\r\n\r\n")]
    assert wire.ask(head + chunk).status in (400, 413)
    wire.rest()
    assert door.ask(webhook(1)).status == 202


def test_expect_100_continue(door, wire):
    body = webhook(1)
    wire.send(request(body, {"Expect": "100-continue"})[:-len(body)])
    assert wire.answer(has_body=False).status == 100
    assert wire.ask(body).status == 202


def test_a_body_over_the_limit_that_was_not_asked_for_is_413(wire):
    """curl waits a second for the 100, and then sends the body anyway."""
    wire.send(request(b"", {"Expect": "100-continue", "Content-Length": MIB + 1}))
    assert wire.ask(b" " * (MIB + 1)).status == 413


def test_an_unknown_expectation_is_417(wire):
    assert wire.ask(request(webhook(1), {"Expect": "miracles"})).status == 417


# ---- One connection, many requests ----

def test_a_connection_stays_open(door, wire):
    answers = [wire.ask(request(webhook(id))) for id in range(1, 501)]
    assert {answer.status for answer in answers} == {202}
    assert {answer.headers.get("connection", "keep-alive") for answer in answers} == {"keep-alive"}
    assert len(door.queue()) == 500


def test_a_refused_webhook_does_not_cost_the_connection(wire):
    for id in range(1, 20):
        assert wire.ask(request(webhook(id), secret="wrong")).status == 401
        assert wire.ask(request(b"false")).status == 400
        assert wire.ask(request(webhook(id))).status == 202


def test_pipelined_requests_are_answered_in_order(door, wire):
    kinds = [(request(webhook(1)), 202), (request(webhook(1)), 200), (request(b"false"), 400),
             (request(webhook(2), secret="x"), 401), (chunked(webhook(3)), 202), (request(sample("PING")), 200)]
    wire.send(b"".join(data for data, _ in kinds * 20))
    answers = [wire.answer().status for _ in kinds * 20]
    assert answers[:len(kinds)] == [status for _, status in kinds]
    assert answers[len(kinds):] == [200, 200, 400, 401, 200, 200] * 19
    assert door.queue() == ["1", "3"]


def test_connection_close_is_honoured(wire):
    assert wire.ask(request(webhook(1), {"Connection": "close"})).status == 202
    assert wire.rest() == b""


def test_http_1_0_closes_unless_asked_to_stay(door):
    old = request(webhook(1)).replace(b"HTTP/1.1", b"HTTP/1.0")
    with door.wire() as wire:
        assert wire.ask(old).status == 202
        assert wire.rest() == b""
    with door.wire() as wire:
        stay = old.replace(b"Host:", b"Connection: keep-alive\r\nHost:")
        assert [wire.ask(stay).status for _ in range(3)] == [200] * 3


def test_a_request_may_come_byte_by_byte(door, wire):
    for data in [request(webhook(1)), chunked(webhook(2), 50)]:
        for i in range(len(data)):
            wire.send(data[i:i + 1])
        assert wire.answer().status == 202
    assert door.queue() == ["1", "2"]


def test_many_requests_at_once_come_byte_by_byte(door):
    """Interleaved: what one connection sent is never taken for another's."""
    wires = [door.wire() for _ in range(20)]
    parts = [request(webhook(id)) for id in range(1, 21)]
    for at in range(0, max(map(len, parts)), 97):
        for wire, data in zip(wires, parts):
            wire.send(data[at:at + 97])
    assert [wire.answer().status for wire in wires] == [202] * 20
    for wire in wires:
        wire.close()
    assert {door.booking(id)["uid"] for id in range(1, 21)} == {f"uid-{id}" for id in range(1, 21)}


# ---- What is no request ----

@pytest.mark.parametrize("garbage", [
    b"\r\n\r\n\r\n", b"hello\r\n\r\n", bytes(range(256)) * 10, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"POST /webhook\r\n\r\n", b"POST  HTTP/1.1\r\n\r\n", b"POST /webhook HTTP/9.9\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"POST /webhook HTTP/1.1\r\nno colon\r\n\r\n",
    b"POST http://a:99999/webhook HTTP/1.1\r\n\r\n",
    b"*1\r\n$8\r\nFLUSHALL\r\n",
], ids=lambda garbage: repr(garbage[:24]))
def test_garbage_is_refused_and_harms_nobody(door, garbage):
    with door.wire() as wire:
        assert wire.send(garbage).rest().startswith(b"HTTP/1.1 400 ")
    assert door.ask(webhook(1)).status == 202


def reset(wire):
    """Closes with an RST: what was not read yet is thrown away."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@pytest.mark.parametrize("end", [lambda wire: wire.close(), reset], ids=["FIN", "RST"])
def test_a_client_that_leaves_in_the_middle_harms_nobody(door, end):
    data = request(webhook(1))
    for size in [0, 1, 20, 150, len(data) - 1]:
        end(door.wire().send(data[:size]))
        end(door.wire().send(chunked(webhook(1))[:size]))
        end(door.wire().send(request(webhook(2)) * 3 + data[:size]))
    wait_for(lambda: door.count("connections") == 0, what="all connections to be gone")
    assert "1" not in door.queue(), "half a request was taken"
    assert door.ask(webhook(1)).status == 202


def test_a_client_that_sends_and_leaves_at_once_is_served(door):
    for id in range(1, 21):
        door.wire().send(request(webhook(id))).close()
    wait_for(lambda: len(door.queue()) == 20, what="20 bookings")


def test_a_client_that_only_closes_its_side_gets_its_answer(wire):
    wire.send(request(webhook(1)))
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.answer().status == 202
    assert wire.rest() == b""


def test_a_client_that_never_reads_harms_nobody(door):
    """Answers that nobody takes fill the socket's buffers; then the connection has to wait or go."""
    with door.wire() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.setblocking(False)
        data = request(sample("PING")) * 100
        for _ in range(200):
            try:
                deaf.socket.send(data)
            except (BlockingIOError, ConnectionError):
                break
        assert door.ask(webhook(1)).status == 202
    wait_for(lambda: door.count("connections") == 0, what="the deaf one to be gone")
    assert door.ask(webhook(2)).status == 202


# ---- Slow requests. All of them wait at the same time, once ----

BODY = webhook(1)
WHOLE = request(BODY)
CHUNKED = chunked(BODY)

# name → what is sent at once, and what then drips, a byte each second
STALLED = {
    "a line": (b"POST /web", b""),
    "one byte": (b"P", b""),
    "headers": (WHOLE[:100], b""),
    "a body": (WHOLE[:-1], b""),
    "a chunk": (CHUNKED[:-20], b""),
    "after 100-continue": (request(BODY, {"Expect": "100-continue"})[:-len(BODY)], b""),
    "a body over the limit": (request(b"", {"Content-Length": 50 * MIB}) + b" " * 1000, b""),
    "a length that is never sent": (request(b"", {"Content-Length": 10 ** 30}), b""),
    "the second on a connection": ((WHOLE, WHOLE[:100]), b""),
    "behind a whole one": (WHOLE + WHOLE[:100], b""),
    "dripping headers": (WHOLE[:100], WHOLE[100:]),
    "a dripping body": (WHOLE[:-100], WHOLE[-100:]),
    "dripping chunks": (CHUNKED[:-100], CHUNKED[-100:]),
}


def begin(door, first):
    wire = door.wire()
    if isinstance(first, tuple):
        assert wire.ask(first[0]).status == 200
        first = first[1]
    return wire.send(first)


@pytest.fixture(scope="module")
def stalled(tmp_path_factory):
    """name → after how many seconds the connection was closed (99: not at all), and what else happened."""
    house = House(tmp_path_factory.mktemp("stalled"))
    door = Door(house)
    assert door.ask(BODY).status == 202
    since = time.monotonic()
    wires = {name: begin(door, first) for name, (first, _) in STALLED.items()}
    idle = door.wire()
    seen = {name: 99.0 for name in STALLED}
    slowest_s, dripped = 0.0, 0
    while wires and time.monotonic() < since + REQUEST_S + 3:
        readable, _, _ = select.select([wire.socket for wire in wires.values()], [], [], 0.1)
        for name, wire in list(wires.items()):
            if wire.socket in readable and not wire._receive():
                seen[name] = time.monotonic() - since
                wires.pop(name).close()
        if time.monotonic() > since + dripped:
            for name, wire in wires.items():
                wire.send(STALLED[name][1][dripped:dripped + 1])
            dripped += 1
            asked = time.monotonic()
            assert door.ask(webhook(100 + dripped)).status == 202
            slowest_s = max(slowest_s, time.monotonic() - asked)
    seen["of others"] = slowest_s
    seen["idle is open"] = not select.select([idle.socket], [], [], 0)[0]
    seen["idle is served"] = idle.ask(WHOLE).status == 200
    seen["timed out"] = door.count("requests_timed_out_total")
    for wire in [*wires.values(), idle]:
        wire.close()
    complaints = house.close()
    assert not complaints, complaints
    return seen


@pytest.mark.parametrize("name", STALLED)
def test_a_request_has_ten_seconds_from_its_first_byte_to_its_last(stalled, name):
    assert REQUEST_S - 0.5 <= stalled[name] <= REQUEST_S + 2


def test_slow_requests_delay_nobody_and_idle_connections_stay(stalled):
    assert stalled["of others"] < 0.5
    assert stalled["idle is open"] and stalled["idle is served"]


def test_slow_requests_are_counted(stalled):
    assert stalled["timed out"] == sum(stalled[name] < 99 for name in STALLED)
