"""scripts/credit: the members' accounts."""

import argparse
import sys
from typing import Any, Dict, Iterator, List, Optional

from tollgate import enrol, members, period, terminal, verify
from tollgate.link import (
    DONE, FILES, PAGE, WRONG, Link, Parser, Problem, add_author, add_commands, author, count_of, normalise,
    script)
from tollgate.members import PURSES

SUMS = {"grant": "granted", "adjust": "adjusted", "capture": "captured", "refund": "refunded"}  # kinds of movement

DESCRIPTION = """The members' accounts. An account is a booker's e-mail in lower case (or what
TOLLGATE_ACCOUNT_FIELD names). Every change is an entry in the account's ledger."""


def numbers(fields: Dict[str, str]) -> Dict[str, Any]:
    """The purses as numbers where they are such, and the fields as they are named in every output."""
    shown: Dict[str, Any] = {purse: fields.get(purse) or "0" for purse in PURSES}
    for purse, text in shown.items():
        try:
            shown[purse] = int(text)
        except ValueError:
            pass
    return {**shown, **{members.column_of(name): value for name, value in sorted(fields.items()) if name not in PURSES}}


def nobody(account: str) -> Problem:
    return Problem(f"there is no account {account}; {script('credit')} grant makes one")


def read_account(link: Link, account: str) -> Dict[str, Any]:
    fields = link.client.hgetall(link.key("credit:" + account))
    if not fields:
        raise nobody(account)
    return numbers(fields)


# ---- One account ----

def change(link: Link, options: argparse.Namespace, function: str, *more: Any) -> int:
    account = normalise(options.account)
    members.check_amount(options.amount, "debit" if function == "grant" else "grant")
    answer = link.call(function, account, options.amount, options.key, author(options), options.note, *more)
    done = {"account": account, "done": answer[0] == "granted", "new": answer[4] == "new",
            **dict(zip(PURSES, map(int, answer[1:4])))}
    if options.json:
        terminal.print_json(done)
        return DONE
    if not done["done"]:
        terminal.say(f"{account}: the key {options.key} was used before; nothing was changed")
    elif done["new"]:
        terminal.say(f"{account} is a new account")
    terminal.say(f"{account}: balance {done['balance']}, held {done['held']}, spent {done['spent']}")
    return DONE


def grant(link: Link, options: argparse.Namespace) -> int:
    return change(link, options, "grant")


def debit(link: Link, options: argparse.Namespace) -> int:
    return change(link, options, "debit", int(options.overdraw))


def show(link: Link, options: argparse.Namespace) -> int:
    account = normalise(options.account)
    fields = read_account(link, account)
    booked = link.client.zrange(link.key("open:" + account), 0, -1)
    if options.json:
        terminal.print_json({"account": account, **fields, "bookings": booked})
        return DONE
    terminal.table(("field", "value"), [("account", account), *fields.items(), ("bookings", " ".join(booked) or "-")])
    return DONE


def history(link: Link, options: argparse.Namespace) -> int:
    account, within = normalise(options.account), period.given(options)
    bounds = within.entries() if within else {}
    entries = link.client.xrevrange(link.key("ledger:" + account), count=options.number, **bounds)
    if not entries:
        read_account(link, account)  # says so when there is no such account
    rows = [{"ms": int(entry_id.split("-")[0]), "id": entry_id, **entry} for entry_id, entry in entries]
    sums = totals(link, account, within) if within else None
    if options.json:
        terminal.print_json({"account": account, **sums, "entries": rows} if sums else rows)
        return DONE
    terminal.table(("time", "movement", "credits", *PURSES, "booking", "by", "note"),
                   [(terminal.when(row["ms"]), row.get("kind"), row.get("amount"), *(row.get(p) for p in PURSES),
                     row.get("booking") or "-", row.get("by"), row.get("note")) for row in rows],
                   ("credits", *PURSES))
    if sums:
        say_totals(sums, len(rows))
    return DONE


def totals(link: Link, account: str, within: period.Period) -> Dict[str, Any]:
    """What the movements of that time come to, however many there are. Spent is what was captured, less what was
    given back or taken along to another booking: the difference that the ledger's own sums tell."""
    key, bounds = link.key("ledger:" + account), within.entries()
    sums: Dict[str, Any] = {"from_ms": within.from_ms, "to_ms": within.to_ms, "movements": 0,
                            **dict.fromkeys(("granted", "adjusted", "captured", "refunded"), 0)}
    before = [] if within.from_ms is None else link.client.xrevrange(key, max=f"({within.from_ms}-0", count=1)
    first = last = before[0][1] if before else {}
    while True:
        page = link.client.xrange(key, count=PAGE, **bounds)
        for _, entry in page:
            last = entry
            if entry.get("kind") in SUMS:
                sums[SUMS[entry["kind"]]] += int(entry.get("amount") or 0)
        sums["movements"] += len(page)
        if len(page) < PAGE:
            break
        bounds["min"] = "(" + page[-1][0]
    return {**sums, "spent": int(last.get("spent") or 0) - int(first.get("spent") or 0),
            "balance_before": int(first.get("balance") or 0), "balance_after": int(last.get("balance") or 0)}


def say_totals(sums: Dict[str, Any], shown: int) -> None:
    since = terminal.when(sums["from_ms"]) if sums["from_ms"] is not None else "the beginning"
    until = terminal.when(sums["to_ms"]) if sums["to_ms"] is not None else "now"
    terminal.say(f"From {since} until {until}, {sums['movements']} movements"
                 + (f", the newest {shown} of them above" if shown < sums["movements"] else "") + ":")
    terminal.say(f"granted {sums['granted']}, adjusted {terminal.signed(sums['adjusted'])}, captured {sums['captured']}, refunded "
                 f"{sums['refunded']}; spent {sums['spent']}; balance {sums['balance_before']} → {sums['balance_after']}")


# ---- All accounts ----

def accounts(link: Link) -> Iterator[Dict[str, Any]]:
    for page in link.names("credit:"):
        answers = link.bulk([("HGETALL", link.key("credit:" + account)) for account in page])
        for account, fields in zip(page, answers):
            if not isinstance(fields, Exception):
                yield {"account": account, **numbers(fields)}


def list_accounts(link: Link, options: argparse.Namespace) -> int:
    rows = [row for row in accounts(link)
            if options.below is None or (isinstance(row["balance"], int) and row["balance"] < options.below)]
    rows.sort(key=lambda row: (str(row[options.sort]) if options.sort == "account" else
                               row[options.sort] if isinstance(row[options.sort], int) else 0, row["account"]))
    rows = rows[:options.limit]
    if options.json:
        terminal.print_json(rows)
        return DONE
    terminal.table(("account", *PURSES, "fields"),
                   [(row["account"], *(row[p] for p in PURSES),
                     " ".join(f"{k}={v}" for k, v in row.items() if k != "account" and k not in PURSES))
                    for row in rows], PURSES)
    return DONE


def export(link: Link, options: argparse.Namespace) -> int:
    rows = sorted(accounts(link), key=lambda row: row["account"])
    is_json = options.format == "json" or options.json
    lines = [terminal.json_text(rows)] if is_json else members.csv_lines(rows)
    # CSV holds the bytes as they are in Redis; JSON has a way to write those that are no text.
    errors = "backslashreplace" if is_json else "surrogateescape"
    if options.output:
        with open(options.output, "w", encoding="utf-8", errors=errors) as out:
            out.writelines(line + "\n" for line in lines)
    elif sys.stdout.isatty() and not is_json:
        for line in lines:
            terminal.say(line)
    else:
        sys.stdout.reconfigure(encoding="utf-8", errors=errors)
        sys.stdout.writelines(line + "\n" for line in lines)
    return DONE


def waived(link: Link, options: argparse.Namespace) -> int:
    listed = link.client.zrevrange(link.key("waived"), 0, options.number - 1, withscores=True)
    answers = link.bulk([("HMGET", link.key("booking:" + booking), "account", "cost", "reason") for booking, _ in listed])
    rows = []
    for (booking, ms), told in zip(listed, answers):
        account, cost, reason = (None, None, str(told)) if isinstance(told, Exception) else told
        rows.append({"booking": booking, "ms": int(ms), "account": account, "cost": cost, "reason": reason})
    if options.json:
        terminal.print_json(rows)
        return DONE
    terminal.table(("time", "booking", "account", "cost", "reason"),
                   [(terminal.when(r["ms"]), r["booking"], r["account"] or "-", r["cost"] or "-", r["reason"] or "-")
                    for r in rows], ("cost",))
    return DONE


def verify_accounts(link: Link, options: argparse.Namespace) -> int:
    only = [normalise(options.account)] if options.account else None
    if only and not link.client.exists(link.key("credit:" + only[0]), link.key("ledger:" + only[0])):
        raise nobody(only[0])
    count, found = verify.verify(link, only)
    if options.book:
        found = verify.book(link, found, author(options))
    if options.json:
        terminal.print_json({"accounts": count, "differences": [one._asdict() for one in found]})
    else:
        for one in found:
            about = [one.account or "no account", *(["booking " + one.booking] if one.booking else [])]
            terminal.say(f"{', '.join(about)}: {one.text}")
        terminal.say(f"{count} accounts verified, {len(found)} differences")
    return WRONG if found else DONE


# ---- The command line ----

def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=script("credit"), description=DESCRIPTION)
    add = add_commands(parser)
    many = count_of(1000000)
    for name, act, text in (("grant", grant, "give credit; makes the account when there is none"),
                            ("debit", debit, "take credit away")):
        one = add(name, act, text)
        one.add_argument("account")
        one.add_argument("amount", metavar="CREDITS", help="a whole number from 1 up")
        one.add_argument("--key", default="", help="the same key does it once, as in invoice-2026-11")
        one.add_argument("--note", default="", help="for the ledger")
        add_author(one)
        if name == "debit":
            one.add_argument("--overdraw", action="store_true", help="let the balance go below 0")
    add("show", show, "balance, held, spent and fields").add_argument("account")
    one = add("history", history, "the ledger, newest first; of a month, or from … to …, also what it comes to")
    one.add_argument("account")
    one.add_argument("-n", "--number", type=many, default=50, help="at most so many entries (50); sums are of all")
    period.add_options(one)
    one = add("list", list_accounts, "all accounts, sorted")
    one.add_argument("--below", type=int, metavar="N", help="only with a balance below N")
    one.add_argument("--sort", choices=("account", *PURSES), default="balance")
    one.add_argument("--limit", type=many, default=None)
    one = add("import", enrol.import_members, "members out of a CSV or JSON file")
    one.description = enrol.DESCRIPTION
    one.add_argument("file").complete = FILES
    one.add_argument("--key", default="", help="the same key grants once; default: made from the file's content, and what "
                     "an earlier file granted is warned of")
    one.add_argument("--note", default="import")
    one.add_argument("--balances", action="store_true", help="grant new accounts the balance and held of an exported file")
    one.add_argument("--yes", action="store_true", help="do not ask; refused where an earlier file granted and no --key is "
                     "given")
    one.add_argument("--dry-run", action="store_true", help="only look")
    add_author(one)
    one = add("grant-each", enrol.grant_each, "give each member of a list the same credit; says how many it will be, and asks")
    one.description = enrol.EACH
    one.add_argument("file").complete = FILES
    one.add_argument("amount", metavar="CREDITS", help="a whole number from 1 up")
    one.add_argument("--key", default="", help="the same key grants each member once, as in dues-2026-11; default: made from "
                     "the list and the amount")
    one.add_argument("--note", default="", help="for the ledger")
    one.add_argument("--known", action="store_true", help="only to members who have an account; the others are named")
    one.add_argument("--yes", action="store_true", help="do not ask")
    one.add_argument("--dry-run", action="store_true", help="only look")
    add_author(one)
    one = add("export", export, "all accounts, as import reads them; a field whose name means something there is in a "
              "column field:NAME")
    one.add_argument("--format", choices=("csv", "json"), default="csv")
    one.add_argument("-o", "--output", metavar="FILE").complete = FILES
    one = add("verify", verify_accounts, "replay every ledger against its account and the bookings")
    one.add_argument("account", nargs="?")
    one.add_argument("--book", action="store_true", help="book what was set by hand")
    add_author(one)
    one = add("waived", waived, "bookings that the host let through against a no; nothing was charged")
    one.add_argument("-n", "--number", type=many, default=50)
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    return options.act(Link(options), options)
