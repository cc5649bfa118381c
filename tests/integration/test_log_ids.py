"""Each log line about one booking carries its ID: over a run in which everything that can go wrong with one does, no
line names a booking elsewhere only."""

import re

import pytest

from harness import now_iso, sample, wait_for

ANN = "ann@example.com"
FAULTS = [dict(kind="status", status=500), dict(kind="status", status=400), dict(kind="status", status=403),
          dict(kind="reset_before"), dict(kind="reset_after"), dict(kind="throttle", reset=1), dict(kind="hang")]


def requested(id_, **fields):
    return sample("BOOKING_REQUESTED", createdAt=now_iso(), **{"payload.bookingId": id_, "payload.uid": f"uid-{id_}", **fields})


def lines_about(daemon, names):
    """(line, names in it): those that name one of the bookings in any of their texts."""
    known = re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, names)) + r")(?![\w-])")
    for line in daemon.log_lines():
        texts = [value for key, value in line.items() if key not in ("time", "address", "link", "booking")]
        if any(known.search(text) for text in texts):
            yield line


@pytest.mark.parametrize("dialect", ["v1", "v2"])
def test_a_run_with_faults(make_gate, dialect):
    debug = {"TOLLGATE_LOG_LEVEL": "debug"}
    gate = make_gate(dialect=dialect, ingest_env=debug,
                     worker_env={**debug, "TOLLGATE_SWEEP_INTERVAL": "1", "CALCOM_TIMEOUT_MS": "500"})
    gate.allow_errors.extend(["redis refuses an event for good", "Cal.com refuses the key"])
    gate.credit(ANN, balance=50)
    made = []
    for fault in FAULTS:
        gate.fake.fault(**fault)
        made.append(gate.fake.book(ANN))
    gate.credit("bob@example.com", balance="many")
    made.append(gate.fake.book("bob@example.com"))
    wait_for(lambda: str(made[-1]["id"]) in gate.dead(), what="a dead booking")
    # An event that Redis refuses, again and again; one that lacks what it needs; one that is ignored.
    gate.client.set(gate.key("booking:70007"), "mine")
    assert gate.post(requested(70007)).status_code == 202
    assert gate.post(requested(70008, **{"payload.startTime": "soon"})).status_code == 400
    assert gate.post(requested(70009, triggerEvent="MEETING_ENDED")).status_code == 200
    assert gate.post(requested(70010, **{"payload.metadata": {"note": "x" * 9000}})).status_code == 202
    wait_for(lambda: gate.ingest.log_lines("redis refuses an event for good: it is put aside in the spool and tried "
                                           "again at the next start"), what="an event to be put aside")
    gate.client.delete(gate.key("booking:70007"))
    done = gate.client.hgetall(gate.key("done"))
    names = [str(one["id"]) for one in made] + [one["uid"] for one in made]
    names += [f"{prefix}{n}" for n in (70007, 70008, 70009, 70010) for prefix in ("", "uid-")]
    wait_for(lambda: len(gate.client.hgetall(gate.key("done"))) >= 3, what=f"some to be settled ({done})")

    for daemon in (gate.ingest, gate.worker):
        for line in lines_about(daemon, names):
            assert line.get("booking"), line
    for msg, id_ in (("redis answered with an error", "70007"), ("webhook not understood", "70008"), ("webhook ignored", "70009"),
                     ("the metadata is larger than 8 KiB and left out", "70010")):
        assert {line["booking"] for line in gate.ingest.log_lines(msg)} == {id_}, msg
    for msg in ("Cal.com answered", "settled", "will try again"):
        found = gate.worker.log_lines(msg)
        assert found and all(line["booking"] for line in found), msg
