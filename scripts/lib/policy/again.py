"""Decides again what was decided: the newest decisions by another policy, with the inputs they rested on."""

import json
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from policy.texts import Checked, refusal
from tollgate.link import Link

CHUNK = 200

EXPIRED = "the record has expired"
NOT_BY_POLICY = "no policy decided it"
MISSING = "its record lacks what the policy reads"


class Difference(NamedTuple):
    booking: str
    account: str
    event_type: str
    decided_ms: int
    before: Dict[str, Any]  # accept, cost, reason
    after: Dict[str, Any]   # the same, or defer and reason, or error


class Comparison:
    def __init__(self) -> None:
        self.same = 0
        self.different: List[Difference] = []
        self.not_comparable: Dict[str, int] = {}

    def skip(self, why: str) -> None:
        self.not_comparable[why] = self.not_comparable.get(why, 0) + 1

    @property
    def total(self) -> int:
        return self.same + len(self.different) + sum(self.not_comparable.values())

    def summary(self) -> str:
        told = f"{self.total} decided: {self.same} the same, {len(self.different)} different"
        skipped = sum(self.not_comparable.values())
        if skipped:
            whys = ", ".join(f"{count} because {why}" for why, count in sorted(self.not_comparable.items()))
            told += f", {skipped} not comparable ({whys})"
        return told

    def as_json(self) -> Dict[str, Any]:
        return {"same": self.same, "different": [row._asdict() for row in self.different],
                "not_comparable": self.not_comparable}


def newest_decided(link: Link, count: int) -> List[str]:
    """The bookings decided last, the newest first, each once."""
    found: Dict[str, None] = {}
    end = "+"
    while len(found) < count:
        entries = link.client.xrevrange(link.key("decisions"), end, "-", count=1000)
        if not entries:
            break
        for _, entry in entries:
            found.setdefault(entry.get("booking", ""), None)
            if len(found) == count:
                break
        end = "(" + entries[-1][0]
    return list(found)


def inputs(record: Dict[str, str], reads: List[str], needs_of: Dict[str, List[str]]) -> Optional[Dict[str, Any]]:
    """The booking as a policy saw it when it was decided; None when that is no longer known."""
    view: Dict[str, Any] = {name: record[name] for name in ("uid", "account", "email", "event_type", "first_seen")
                            if name in record}
    for name in ("start", "end"):
        if name in record:
            view[name] = int(record[name])
    view["received"] = int(record["received_ms"]) // 1000
    for name in ("answers", "metadata"):
        if name in record:
            view[name] = json.loads(record[name])
        elif name in reads and name not in needs_of.get(record.get("policy", ""), []):
            return None  # not kept, because no policy read it then
    if "circumstances" in record:
        view.update(json.loads(record["circumstances"]))
    elif {"open", "occurrence", "occurrences", "reschedule"} & set(reads):
        return None
    return view


def decision(record: Dict[str, str]) -> Dict[str, Any]:
    return {"accept": record["decision"] == "accept", "cost": int(record["cost"]), "reason": record.get("reason", "")}


def is_same(before: Dict[str, Any], after: Dict[str, Any]) -> bool:
    """What a "no" would have cost matters to nobody."""
    return before["accept"] == after.get("accept") and (not before["accept"] or before["cost"] == after["cost"])


def question(link: Link, text: str, id_: str, record: Dict[str, str], terms: Dict[str, Optional[str]],
             checked: Checked, needs_of: Dict[str, List[str]]) -> Any:
    """The command that decides it again, or the reason why that cannot be."""
    if not record:
        return EXPIRED
    if not {"account_was", "decision", "decided_ms"} <= record.keys() or record.get("ruled_by"):
        return NOT_BY_POLICY
    shown_terms = terms.get(record.get("terms", ""))
    try:
        view = inputs(record, checked.reads, needs_of)
    except (ValueError, KeyError):
        view = None
    if view is None or shown_terms is None:
        return MISSING
    view["id"] = id_
    return link.command("policy_try", text, json.dumps(view), record["account_was"], shown_terms,
                              int(record["decided_ms"]) // 1000)


def records(link: Link, ids: List[str]) -> Iterator[Tuple[str, Dict[str, str]]]:
    answers = link.bulk([("HGETALL", link.key("booking:" + id_)) for id_ in ids])
    for id_, answer in zip(ids, answers):
        yield id_, {} if isinstance(answer, Exception) else answer


def kept_inputs(link: Link, texts: Dict[str, str]) -> Dict[str, List[str]]:
    """What each policy ever installed reads, so what was kept while it was in force."""
    answers = link.bulk([link.command("policy_check", text) for text in texts.values()])
    return {sha: answer[2].split() for sha, answer in zip(texts, answers) if not isinstance(answer, Exception)}


def compare(link: Link, path: str, text: str, checked: Checked, texts: Dict[str, str], count: int) -> Comparison:
    result = Comparison()
    terms = link.client.hgetall(link.key("terms_seen"))
    needs_of = kept_inputs(link, texts)
    ids = newest_decided(link, count)
    for start in range(0, len(ids), CHUNK):
        asked = []
        for id_, record in records(link, ids[start:start + CHUNK]):
            command = question(link, text, id_, record, terms, checked, needs_of)
            if isinstance(command, str):
                result.skip(command)
            else:
                asked.append((id_, record, command))
        for (id_, record, _), answer in zip(asked, link.bulk([command for *_, command in asked])):
            if isinstance(answer, Exception):
                raise refusal(path, text, answer)
            before, after = decision(record), json.loads(answer)
            if is_same(before, after):
                result.same += 1
            else:
                result.different.append(Difference(id_, record.get("account", ""), record.get("event_type", ""),
                                                   int(record["decided_ms"]), before, after))
    return result
