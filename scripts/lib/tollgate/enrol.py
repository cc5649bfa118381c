"""scripts/credit import: members out of a file."""

import argparse
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from tollgate import members, terminal
from tollgate.link import DONE, PAGE, USAGE, WRONG, Link, Problem, author, explain, script
from tollgate.members import Bad, Member

DESCRIPTION = """Members out of a CSV file with a header, or a JSON list of objects. Columns: account or email;
credits, which are granted; key and note of the grant; any other is a field of the account, and so is field:NAME
whatever its name. A line that cannot be used is named and left out, the others are applied. An empty cell of a CSV
file leaves the field as it is. What export wrote can be imported: fields are set, and nothing is granted. With
--balances each account that is new here is granted its balance and what it held, for instance in an empty Redis; those
that are known keep what they have."""

EACH = """Gives each member of a list the same credit. The list has one account on a line (empty lines and those that
begin with # are left out), or is any file that import reads; - is standard input. It says how many it will be and who
would be a new account, asks, and does it. The same list and amount, or the same --key, grants each member once: what
was broken off is finished by doing it again."""

LISTED = 20


class Earlier(NamedTuple):
    """What other files granted before, under keys made from their content."""

    members: int
    same: int  # of them were granted just as much as now
    key: str   # of the file that most of them were in
    ms: int    # when it was imported


def _pages(found: Sequence[Member]) -> Iterator[Sequence[Member]]:
    return (found[start:start + PAGE] for start in range(0, len(found), PAGE))


def _are_known(link: Link, page: Sequence[Member]) -> List[bool]:
    return [answer > 0 for answer in link.bulk([
        ("EXISTS", link.key("credit:" + member.account), link.key("ledger:" + member.account)) for member in page])]


def _with_balances(found: Sequence[Member], known: Sequence[bool]) -> Tuple[List[Member], List[Bad]]:
    """Those that are new are granted what they had."""
    good: List[Member] = []
    bad: List[Bad] = []
    for member, is_known in zip(found, known):
        if is_known or member.had is None:
            good.append(member)
        elif member.had.isdigit() and int(member.had) <= members.MOST:
            good.append(member._replace(credits=int(member.had)))
        else:
            bad.append(Bad(member.line, f"{member.account} had {member.had}, which cannot be granted; leave it out, import "
                           f"it without --balances, and use {script('credit')} debit --overdraw for a debt"))
    return good, bad


def _earlier(link: Link, found: Sequence[Member], key: str) -> Optional[Earlier]:
    """`key`: this file's. Somebody who corrects a file and imports it again would grant the good lines twice."""
    count, same = 0, 0
    files: Dict[str, List[int]] = {}
    for page in _pages([member for member in found if member.credits and member.key == key]):
        answers = link.bulk([("HGETALL", link.key("keys:" + member.account)) for member in page])
        for member, used in zip(page, answers):
            if isinstance(used, Exception):
                continue
            grants = {name: use.split(" ") for name, use in used.items()
                      if name.startswith(members.IMPORT_KEY) and name != key}
            count += bool(grants) and key not in used
            same += key not in used and any(use[1] == str(member.credits) for use in grants.values())
            for name, use in grants.items():
                files.setdefault(name, []).append(int(use[2].split("-")[0]))
    if not count:
        return None
    most = max(files, key=lambda name: (len(files[name]), max(files[name])))
    return Earlier(count, same, most, max(files[most]))


def _warning(earlier: Earlier) -> str:
    return (f"{earlier.members} of them were granted credits by an import before, {earlier.same} just as much (key "
            f"{earlier.key}, {terminal.when(earlier.ms)}). If this file corrects that one, --key {earlier.key} grants "
            "nobody a second time; if it is a new grant, give it a --key of its own, as in dues-2026-11")


def _say_bad(bad: Sequence[Bad], unit: str) -> None:
    for one in bad[:LISTED]:
        terminal.say(f"  {unit} {one.line}: {one.reason}")
    if len(bad) > LISTED:
        terminal.say(f"  and {len(bad) - LISTED} more; --json lists all")


def _say_plan(file: members.File, report: Dict[str, Any], balances: bool) -> None:
    terminal.say(f"{report['members']} members ({report['new']} new, {report['known']} known), {report['credits']} credits to "
                 f"grant, {len(file.bad)} that cannot be used")
    _say_bad(file.bad, file.unit)
    if report["credits"]:
        terminal.say(f"key: {file.key} (the same key grants once)")
    if not balances and any(member.had not in (None, "0") for member in file.members):
        terminal.say("the balances in the file are not granted; --balances grants them to accounts that are new here")


def _apply(link: Link, found: List[Member], balances: bool, by: str, report: Dict[str, Any]) -> None:
    with terminal.progress("members", len(found)) as progress:
        for page in _pages(found):
            if balances:  # somebody may have been made an account since we looked
                page = [member._replace(credits=0) if is_known else member
                        for member, is_known in zip(page, _are_known(link, page))]
            answers = link.bulk([
                link.command("member", member.account, member.credits, member.key if member.credits else "", by, member.note,
                             *(part for pair in member.fields.items() for part in pair)) for member in page])
            for member, answer in zip(page, answers):
                if isinstance(answer, Exception):
                    report["bad"].append(Bad(member.line, str(explain(answer)))._asdict())
                else:
                    report["applied"] += 1
                    report["granted_before"] += answer[0] == "known"
            progress(len(page))


def _look(link: Link, options: argparse.Namespace) -> Tuple[members.File, Dict[str, Any]]:
    """The file, and what importing it would do."""
    file = members.read(options.file, options.key, options.note)
    if options.balances and any(member.credits for member in file.members):
        raise Problem("the file grants credits itself: --balances would grant on top of them", USAGE)
    known = [one for page in _pages(file.members) for one in _are_known(link, page)]
    if options.balances:
        found, bad = _with_balances(file.members, known)
        left = {member.line for member in found}
        known = [one for one, member in zip(known, file.members) if member.line in left]
        file = file._replace(members=found, bad=sorted(file.bad + bad))
    earlier = None if options.key else _earlier(link, file.members, file.key)
    return file, {
        "members": len(file.members), "new": known.count(False), "known": known.count(True),
        "credits": sum(member.credits for member in file.members), "key": file.key,
        "bad": [one._asdict() for one in file.bad], "earlier": earlier._asdict() if earlier else None,
        "applied": 0, "granted_before": 0}


def import_members(link: Link, options: argparse.Namespace) -> int:
    file, report = _look(link, options)
    warning = _warning(Earlier(**report["earlier"])) if report["earlier"] else ""
    if not options.json:
        _say_plan(file, report, options.balances)
    if options.dry_run:
        if warning and not options.json:
            terminal.say(warning)
    elif options.yes and warning:
        raise Problem(warning + "; nothing was changed", USAGE)
    elif not options.yes:
        if not terminal.is_interactive():
            raise Problem("not on a terminal: --yes imports without asking, --dry-run only looks", USAGE)
        if warning:
            terminal.say(warning)
        if not terminal.confirm("Import?"):
            terminal.say("nothing was changed")
            return DONE
    if not options.dry_run:
        _apply(link, file.members, options.balances, author(options), report)
        if not options.json:
            terminal.say(f"{report['applied']} applied, {report['granted_before']} of them had the grant already")
            _say_bad([Bad(**one) for one in report["bad"][len(file.bad):]], file.unit)
    if options.json:
        terminal.print_json(report)
    return WRONG if report["bad"] else DONE


def grant_each(link: Link, options: argparse.Namespace) -> int:
    members.check_amount(options.amount, "debit")
    if int(options.amount) > members.MOST:
        raise Problem(f"CREDITS may be {members.MOST} at most", USAGE)
    if not options.yes and not options.dry_run and (options.file == "-" or not terminal.is_interactive()):
        raise Problem("nobody is here to say yes: --yes grants without asking, --dry-run only looks", USAGE)
    file = members.read_list(options.file, int(options.amount), options.key, options.note)
    known = dict(zip((member.account for member in file.members),
                     (one for page in _pages(file.members) for one in _are_known(link, page))))
    new = [member for member in file.members if not known[member.account]]
    if options.known:
        bad = [Bad(member.line, f"{member.account} has no account") for member in new]
        file = file._replace(members=[member for member in file.members if known[member.account]], bad=sorted(file.bad + bad))
        new = []
    before = sum(one is True for page in _pages(file.members) for one in _have_key(link, page))
    report = {"members": len(file.members), "new": len(new), "credits": int(options.amount) * (len(file.members) - before),
              "key": file.key, "bad": [one._asdict() for one in file.bad], "applied": 0, "granted_before": before}
    if not options.json:
        terminal.say(f"{options.amount} credit(s) to each of {len(file.members)} members"
                     + (f", of whom {before} had them already" if before else "") + f": {report['credits']} in all; key {file.key}")
        if new:
            terminal.say(f"{len(new)} would be new accounts: {' '.join(member.account for member in new[:LISTED])}"
                         + (" …" if len(new) > LISTED else ""))
        if file.bad:
            terminal.say(f"{len(file.bad)} cannot be used:")
            _say_bad(file.bad, file.unit)
    if not options.dry_run and (options.yes or terminal.confirm("Grant?")):
        report["granted_before"] = 0  # counted anew: somebody may have been quicker
        _apply(link, file.members, False, author(options), report)
        if not options.json:
            terminal.say(f"{report['applied'] - report['granted_before']} granted, {report['granted_before']} had it already")
            _say_bad([Bad(**one) for one in report["bad"][len(file.bad):]], file.unit)
    elif not options.json:
        terminal.say("nothing was changed")
    if options.json:
        terminal.print_json(report)
    return WRONG if report["bad"] else DONE


def _have_key(link: Link, page: Sequence[Member]) -> List[bool]:
    return [bool(answer) and not isinstance(answer, Exception) for answer in link.bulk([
        ("HEXISTS", link.key("keys:" + member.account), member.key) for member in page])]
