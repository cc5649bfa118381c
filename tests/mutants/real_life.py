"""Which line of the Redis library serves which part of Cal.com's real life, and the end-to-end test that fails
without it. A text must occur exactly once in its file, or the proof itself has failed: then the library was
rewritten, and the entry has to be rewritten as well."""

from typing import NamedTuple


class Mutant(NamedTuple):
    row: str  # of real life
    part: str  # of that row: what the line is there for
    file: str  # in common/redis
    text: str  # the line, or the lines
    instead: str
    test: str  # in tests/integration


CANCELLED = "cancelled"
RESCHEDULED = "rescheduled"
TWINS = "twins"
BY_HAND = "by-hand"
PAID = "paid"
SEATS = "seats"
SERIES = "series"
IDENTITY = "identity"

HANDS = "test_gate_hands.py::"
LIFE = "test_gate_real_life.py::"
MANY = "test_gate_seats_series.py::"

MUTANTS = [
    # ---- Cancelled by the member or the host ----
    Mutant(CANCELLED, "before a decision nothing is decided", "decide.lua",
           "  if booking.is_withdrawn(b) then\n    return plan_withdrawn(batch, id, b, old)\n  elseif batch.observe",
           "  if batch.observe",
           HANDS + "test_before_the_decision[member cancels-1-cancelled-moved4-v2]"),
    Mutant(CANCELLED, "while accepting the hold is released", "settle.lua",
           "cancelled = { state = 'cancelled', move = 'release',",
           "cancelled = { state = 'cancelled',",
           HANDS + "test_while_we_confirm[member cancels-cancelled-before the check-v2]"),
    Mutant(CANCELLED, "while accepting the confirm that won is taken back", "settle.lua",
           "  if b.state == 'accepting' and outcome == 'accepted' and booking.is_withdrawn(b) then\n"
           "    return { 'look' }\n  end\n",
           "",
           HANDS + "test_while_we_confirm[host cancels-cancelled-before the check-v2]"),
    Mutant(CANCELLED, "told of before Cal.com has it, it is not confirmed any more", "booking.lua",
           "b.revived == '1' or (b.state == 'accepting' and booking.is_withdrawn(b))", "b.revived == '1'",
           HANDS + "test_told_of_a_cancel_before_calcom_has_it[v2]"),
    Mutant(CANCELLED, "by the host: always refunded", "decide.lua",
           "  if not b.cancelled_ms or not b.cancelled_by or b.cancelled_by ~= b.email or not b.start then\n"
           "    return true\n  end\n",
           "",
           HANDS + "test_cancelled_after_acceptance[host cancels-1-True-v2]"),
    Mutant(CANCELLED, "by the member in time: refunded", "take.lua",
           "    accounts.add(movements, b.account, 'refund', amount, { booking = id, note = why })\n",
           "",
           HANDS + "test_cancelled_after_acceptance[member cancels-25-True-v2]"),
    Mutant(CANCELLED, "by the member late: kept", "decide.lua",
           "  return b.start * 1000 - math.min(b.cancelled_ms, b.cancelled_received_ms) >= notice_ms",
           "  return notice_ms ~= nil",
           HANDS + "test_cancelled_after_acceptance[member cancels-23-False-v2]"),
    Mutant(CANCELLED, "by the member late: says so", "take.lua",
           "      booking.set(b, 'reason', 'cancelled too late for a refund; ' .. integer(amount) .. ' kept')\n",
           "",
           HANDS + "test_cancelled_after_acceptance[member cancels-23-False-v2]"),
    Mutant(CANCELLED, "refund_notice_hours says what is late", "decide.lua",
           "(tonumber(batch.terms.refund_notice_hours) or 24)", "24",
           HANDS + "test_terms_set_the_notice[48-False]"),
    Mutant(CANCELLED, "without it 24 hours are", "decide.lua",
           "(tonumber(batch.terms.refund_notice_hours) or 24)", "(tonumber(batch.terms.refund_notice_hours) or 26)",
           HANDS + "test_cancelled_after_acceptance[member cancels-25-True-v2]"),

    # ---- Rescheduled ----
    Mutant(RESCHEDULED, "by BOOKING_REQUESTED: the charge moves", "decide.lua",
           "  local old = predecessor(batch, id, b)\n", "  local old = nil\n",
           LIFE + "test_a_reschedule_that_needs_confirmation_moves_the_charge[v2]"),
    Mutant(RESCHEDULED, "by BOOKING_RESCHEDULED: the charge moves", "decide.lua",
           "    decide.add_hold(movements, id, b, verdict, old)\n    charged = verdict.cost",
           "    decide.add_hold(movements, id, b, verdict)\n    charged = verdict.cost",
           LIFE + "test_a_reschedule_that_calcom_accepts_itself_is_charged_once"),
    Mutant(RESCHEDULED, "by BOOKING_RESCHEDULED: Cal.com has accepted it", "booking.lua",
           "  return b.rescheduled_ms ~= nil or (", "  return (",
           LIFE + "test_a_reschedule_that_calcom_accepts_itself_is_charged_once"),
    Mutant(RESCHEDULED, "a dearer event type holds only the difference", "decide.lua",
           "  local taken = math.min(old.amount, cost)", "  local taken = 0",
           LIFE + "test_a_dearer_reschedule_holds_only_the_difference"),
    Mutant(RESCHEDULED, "rejected: what the old one was charged is given back", "decide.lua",
           "    decide.add_hold(movements, id, b, verdict, old)\n  else\n"
           "    give_back(movements, old, 'the reschedule to ' .. id .. ' was rejected')\n  end\n  local message",
           "    decide.add_hold(movements, id, b, verdict, old)\n  end\n  local message",
           LIFE + "test_a_rejected_reschedule_leaves_neither"),
    Mutant(RESCHEDULED, "rejected: the old one is over, as in Cal.com", "decide.lua",
           "    write_predecessor(batch, b, old, 'rescheduled to ' .. id)\n    if finish then", "    if finish then",
           LIFE + "test_a_rejected_reschedule_leaves_neither"),

    Mutant(RESCHEDULED, "brought back to life by our confirm, the old one is cancelled in Cal.com", "sweep.lua",
           "  if b and is_revived(b) then", "  if false then",
           "test_crossings.py::test_a_reschedule_crosses_our_confirm[v1]"),
    Mutant(RESCHEDULED, "and at once where Cal.com tells of our confirm", "decide.lua",
           "    queue.add_crossed(batch.ns, old.id, old.b, heir)\n", "",
           "test_crossings.py::test_a_reschedule_crosses_our_confirm[v2]"),

    # ---- Twins ----
    Mutant(TWINS, "one is decided on its merits, the others are its duplicates", "decide.lua",
           "  if first_id and not by_hand then", "  if false then",
           LIFE + "test_one_click_that_makes_three_bookings[v2]"),
    Mutant(TWINS, "though one worker takes them together", "decide.lua",
           "  local first_id = batch.slots[slot] or redis.call(", "  local first_id = redis.call(",
           LIFE + "test_twins_that_one_worker_takes_together"),
    Mutant(TWINS, "though different workers take them", "decide.lua",
           "    redis.call('SET', batch.ns .. 'slot:' .. slot, id, 'PXAT',\n"
           "      integer(booking.kept_until(b.start, batch.now, batch.keep_ms)))\n", "",
           LIFE + "test_twins_that_different_workers_take"),
    Mutant(TWINS, "who cancelled may book the same slot again", "decide.lua",
           "\n    and (first.state == 'observed' and first.decision == 'accept' or first.state == 'accepted'"
           " or OPEN[first.state])\n    and not booking.is_withdrawn(first)", "",
           LIFE + "test_who_cancelled_may_book_the_same_slot_again"),

    # ---- The host by hand ----
    Mutant(BY_HAND, "accepted before our decision: there is nothing to ask for", "decide.lua",
           "  if booking.is_accepted_by_hand(b) then\n    movements, finish", "  if false then\n    movements, finish",
           HANDS + "test_before_the_decision[host confirms-1-accepted-moved0-v2]"),
    Mutant(BY_HAND, "accepted before our decision: captured", "decide.lua",
           "  accounts.add(movements, b.account, 'capture', charged, { booking = id, note = note })\n", "",
           HANDS + "test_before_the_decision[host confirms-1-accepted-moved0-v2]"),
    Mutant(BY_HAND, "accepted before our decision, without credit: waived", "decide.lua",
           "  accounts.add(movements, b.account, 'waive', verdict.cost - charged,"
           " { booking = id, note = verdict.reason })\n", "",
           HANDS + "test_before_the_decision[host confirms-0-accepted-moved1-v2]"),
    Mutant(BY_HAND, "accepted before our decision, without credit: listed", "accounts.lua",
           "      accounts.list_waived(batch.ns, m.entry.booking, batch.now)\n", "",
           HANDS + "test_before_the_decision[host confirms-0-accepted-moved1-v2]"),
    Mutant(BY_HAND, "declined before our decision: noted as declined", "decide.lua",
           "  local state = b.rejected_ms and not b.cancelled_ms and 'rejected' or 'cancelled'",
           "  local state = 'cancelled'",
           HANDS + "test_before_the_decision[host declines-1-rejected-moved2-v2]"),
    Mutant(BY_HAND, "accepted while we try: captured", "settle.lua",
           "    accepted = { state = 'accepted', move = 'capture' },", "    accepted = { state = 'accepted' },",
           HANDS + "test_while_we_wait[host confirms-accepted-moved0-v2]"),
    Mutant(BY_HAND, "declined while we try: released", "settle.lua",
           "    rejected = { state = 'rejected', move = 'release',", "    rejected = { state = 'rejected',",
           HANDS + "test_while_we_wait[host declines-rejected-moved1-v2]"),
    Mutant(BY_HAND, "accepted while we decline: waived", "settle.lua",
           "    accepted = { state = 'accepted', move = 'waive',", "    accepted = { state = 'accepted',",
           HANDS + "test_while_we_decline[host confirms-v2]"),
    Mutant(BY_HAND, "accepted while we decline: listed", "settle.lua",
           "      accounts.list_waived(ns, id, now)\n", "      local _ = now\n",
           HANDS + "test_while_we_decline[host confirms-v2]"),
    Mutant(BY_HAND, "accepted after it was over: waived", "settle.lua",
           "    rule = RESURRECTED\n", "    rule = SETTLE.rejecting.rejected\n",
           HANDS + "test_a_cancelled_booking_that_the_host_brings_back[v2]"),
    Mutant(BY_HAND, "cancelled after our yes: refunded once", "take.lua",
           "      booking.set(b, 'charged', 0)\n", "",
           HANDS + "test_a_cancelled_booking_that_the_host_brings_back[v2]"),

    # ---- Paid event types ----
    Mutant(PAID, "nothing is decided when the payment begins", "booking.lua",
           "local MAKING = { requested = true,", "local MAKING = { payment = true, requested = true,",
           "test_gate_flow.py::test_a_paid_booking_waits_for_its_payment"),
    Mutant(PAID, "the request after the payment is decided", "booking.lua",
           "    return b.first_seen ~= nil\n", "    return b.first_seen ~= nil and not b.payment_ms\n",
           "test_gate_flow.py::test_a_paid_booking_waits_for_its_payment"),
    Mutant(PAID, "the log says that Cal.com refunds", "take.lua",
           "    (b.payment_ms or b.paid == 'yes') and '1' or '0', b.solo", "    '0', b.solo",
           LIFE + "test_a_rejected_paid_booking_says_that_calcom_refunds"),

    # ---- Seats ----
    Mutant(SEATS, "the slot's own echo is no booking, and charges nobody", "record.lua",
           "  elseif not is_slot or redis.call('EXISTS', ns .. 'seats:' .. id) == 0 then", "  else",
           MANY + "test_each_seat_is_its_members_charge[cloud]"),
    Mutant(SEATS, "a cancellation that names no seat is about seats", "record.lua",
           "  if is_slot and not MAKING[kind] then", "  if false then",
           MANY + "test_a_slot_that_the_host_cancels_refunds_everybody"),
    Mutant(SEATS, "and frees those of its own members alone", "seats.lua",
           "    local b = of == email and not name:match('^gone:') and booking.load(ns, name)\n"
           "    if b and b.first_ms then",
           "    local b = not name:match('^gone:') and booking.load(ns, name)\n    if b and b.first_ms then",
           MANY + "test_a_freed_seat_is_refunded_alone[cloud]"),
    Mutant(SEATS, "confirmed by /seats/confirm", "take.lua",
           "    b.seat or '',", "    '',",
           MANY + "test_each_seat_is_its_members_charge[cloud]"),
    Mutant(SEATS, "declined by /seats/decline", "take.lua",
           "    b.seat or '',", "    '',",
           MANY + "test_a_seat_without_credit_is_freed_alone[cloud]"),
    Mutant(SEATS, "one that bypassed approval is the guide's flow", "booking.lua",
           "and (b.seat ~= nil or b.requires_confirmation ~= 'yes')", "and b.requires_confirmation ~= 'yes'",
           MANY + "test_a_seat_without_credit_is_freed_alone[legacy]"),

    # ---- Recurring series ----
    Mutant(SERIES, "looked up, and decided as a whole", "booking.lua",
           "  return (b.occurrences or 1) > 1 and not b.series and", "  return false and not b.series and",
           MANY + "test_a_series_is_decided_as_a_whole[2-rejected-v2]"),
    Mutant(SERIES, "all or nothing", "series.lua",
           "      for k = i, 1, -1 do\n        accounts.undo(batch, together[k].movements)\n"
           "        together[k].movements = {}\n      end\n", "",
           MANY + "test_a_series_is_decided_as_a_whole[2-rejected-v2]"),
    Mutant(SERIES, "each costs, by a hold of its own", "series.lua",
           "    decide.add_hold(member.movements, id, b, verdict)\n", "",
           MANY + "test_a_series_is_decided_as_a_whole[3-accepted-v2]"),
    Mutant(SERIES, "asked for once", "settle.lua",
           "    if is_whole and SETTLE[state] then", "    if false then",
           MANY + "test_a_series_is_decided_as_a_whole[3-accepted-v2]"),
    Mutant(SERIES, "declined once", "settle.lua",
           "    if is_whole and SETTLE[state] then", "    if false then",
           MANY + "test_a_series_is_decided_as_a_whole[2-rejected-v2]"),

    # ---- Identity ----
    Mutant(IDENTITY, "the policy sees the member number out of the metadata", "policy_host.lua",
           "    account = b.account,\n", "    account = b.email,\n",
           LIFE + "test_a_member_number[metadata]"),
    Mutant(IDENTITY, "the policy sees the member number out of a question", "policy_host.lua",
           "    account = b.account,\n", "    account = b.email,\n",
           LIFE + "test_a_member_number[question]"),
    Mutant(IDENTITY, "the policy sees the e-mail as well", "policy_host.lua",
           "    email = b.email,\n", "",
           LIFE + "test_a_member_number[metadata]"),
    Mutant(IDENTITY, "a number with a stranger's e-mail is refused", "policy_tools.lua",
           "  if not HELPERS.belongs(booking, account) then\n"
           "    return 'The member number does not belong to this e-mail address.', 'account'\n  end\n", "",
           LIFE + "test_a_member_number[metadata]"),
]
