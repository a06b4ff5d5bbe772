"""Snapshots of Koii tasks in the tables: real maps in any order, stale answers, changes, and what follows from them."""

import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from indexer.networks.koii.state import SECTIONS
from tests.integration.koii_support import ACTIVE, EMPTY, TASK, Koii, by_round, key, koii
from tests.unit.koii_oracle import as_json
from tests.unit.test_koii_states import SAMPLES, needs_samples, sample

A, B, C = key(1), key(2), key(3)
ROUNDS = ("submissions", "submission_audits", "audit_votes", "distribution_submissions", "distribution_records")


@pytest.fixture
def book(migrated: str) -> Iterator[Koii]:
    with koii(migrated) as opened:
        yield opened


def real_maps() -> list[tuple[int, dict[str, Any]]]:
    """(slot, submissions) of every printed snapshot; the slot is that of its newest submission, and one more."""
    lines = (SAMPLES / "infrascan_kpl_mainnet_snapshots.jsonl").read_text().splitlines()
    maps = [json.loads(line)["submissions"] for line in lines]
    return [(1 + max(e["slot"] for r in m.values() for e in r.values()), m) for m in maps if m]


@needs_samples
@pytest.mark.parametrize("order", ["as printed", "backwards", "shuffled"])
def test_real_maps_in_any_order(book: Koii, order: str) -> None:
    maps = real_maps()
    assert len(maps) >= 90
    if order == "backwards":
        maps.reverse()
    elif order == "shuffled":
        random.Random(7).shuffle(maps)
    config = {"round_time": 8382, "starting_slot": 45216150, "submission_window": 3772, "audit_window": 3352}
    for slot, submissions in maps:
        book.see({**EMPTY, **config, "is_active": True, "submissions": submissions}, slot)
    union = sample("infrascan_kpl_mainnet_submissions_union.json")["submissions"]
    expected = {(int(n), who): (e["submission_value"], e["slot"]) for n, r in union.items() for who, e in r.items()}
    found = book.ask("SELECT round, submitter, value, slot, first_slot FROM koii.submissions")
    assert len(found) == 187
    assert {(n, who): (value, slot) for n, who, value, slot, _ in found} == expected
    shown = {}
    for slot, submissions in maps:
        for n, entries in submissions.items():
            for who in entries:
                shown[int(n), who] = min(slot, shown.get((int(n), who), slot))
    assert {(n, who): first for n, who, *_, first in found} == shown
    assert len(book.ask("SELECT 1 FROM koii.snapshots")) == len(maps)
    assert book.ask("SELECT 1 FROM chain.incidents WHERE kind = 'Inconsistent'") == []


def test_unchanged_content_writes_one_row_and_nothing_else(book: Koii) -> None:
    tree = {**ACTIVE, "submissions": by_round({0: [A, B]}), "stake_list": {A: 5}, "available_balances": {A: 1}}
    book.see(tree, 1110)
    before, rows = book.counts(), book.content("tasks", "stakes", "submissions")
    assert [book.see(tree, slot) for slot in (1110, 1111, 1150)] == ["unchanged"] * 3
    assert book.counts() == before
    assert book.content("tasks", "stakes", "submissions") == rows
    assert len(book.ask("SELECT 1 FROM koii.snapshots")) == 4


def test_a_change_and_back_is_two_changes(book: Koii) -> None:
    one, two = {**ACTIVE, "stake_list": {A: 5}}, {**ACTIVE, "stake_list": {A: 6}}
    for slot, tree in ((10, one), (20, two), (30, one)):
        assert book.see(tree, slot) == "read"
    found = book.ask("SELECT from_slot, to_slot, amount, after_slot FROM koii.stakes ORDER BY 1")
    assert found == [(10, 20, 5, None), (20, 30, 6, 10), (30, None, 5, 20)]
    assert book.see(two, 25) == "stale"
    assert book.see(one, 31) == "unchanged"
    assert len(book.ask("SELECT 1 FROM koii.stakes")) == 3


def test_a_stale_answer_adds_what_was_pruned_and_reverts_nothing(book: Koii) -> None:
    new = {**ACTIVE, "submissions": by_round({4: [A], 5: [A]}), "stake_list": {A: 7}, "task_name": "new"}
    old = {
        **ACTIVE, "submissions": by_round({1: [B], 4: [A]}), "stake_list": {A: 9, B: 9}, "task_name": "old",
        "is_active": False, "distributions_audit_record": {"0": "PayoutSuccessful"},
    }  # fmt: skip
    book.see(new, 1700)
    assert book.see(old, 1560) == "stale"
    assert book.ask("SELECT round, submitter, first_slot FROM koii.submissions ORDER BY 1") == [
        (1, B, 1560), (4, A, 1560), (5, A, 1700),
    ]  # fmt: skip
    assert book.ask("SELECT staker, amount, to_slot FROM koii.stakes") == [(A, 7, None)]
    assert book.ask("SELECT task_name, status FROM koii.tasks") == [("new", "active")]
    assert len(book.ask("SELECT 1 FROM koii.task_versions")) == 1
    assert book.see(None, 1600) == "stale"
    assert book.ask("SELECT status FROM koii.tasks") == [("active",)]


@pytest.mark.parametrize("seed", range(4))
def test_rounds_are_the_same_whatever_the_order(book: Koii, migrated: str, seed: int) -> None:
    randomly = random.Random(seed)
    states = []
    for n in range(2, 12):
        held = range(max(0, n - 5), n)
        trigger = {"trigger_by": A, "slot": 1000 + n, "votes": []}
        votes = [{"is_valid": v % 2 == 0, "voter": key(v), "slot": 2000 + v} for v in range(n)]
        states.append((1000 + n * 100 + 45, {
            **ACTIVE, "submissions": by_round({r: [key(r), key(r + 1)] for r in held}),
            "submissions_audit_trigger": {"1": {B: {**trigger, "slot": 9, "votes": votes}}},
            "distributions_audit_record": {str(n - 2): "Uninitialized", str(n - 3): "PayoutSuccessful"},
            "distribution_rewards_submission": {str(n - 2): {A: {"submission_value": B, "slot": n, "round": n - 2}}},
        }))  # fmt: skip
    for slot, tree in states:
        book.see({**tree, "distributions_audit_record": {
            k: v for k, v in tree["distributions_audit_record"].items() if int(k) >= 0}}, slot)  # fmt: skip
    sorted_rows = book.content(*ROUNDS)
    with psycopg.connect(migrated) as connection:
        for name in (*ROUNDS, "snapshots", "tasks", "task_versions", "task_totals", "missed_rounds"):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("koii", name)))
    randomly.shuffle(states)
    for slot, tree in states:
        book.see({**tree, "distributions_audit_record": {
            k: v for k, v in tree["distributions_audit_record"].items() if int(k) >= 0}}, slot)  # fmt: skip
    assert book.content(*ROUNDS) == sorted_rows


def test_what_was_not_asked_for_is_not_empty(book: Koii) -> None:
    full = {**ACTIVE, "stake_list": {A: 7}, "available_balances": {A: 3}, "ip_address_list": {A: "http://a"}}
    book.see({**full, "total_stake_amount": 7}, 10, kpl=False)
    nothing = {**ACTIVE, "total_stake_amount": 7}
    book.see(nothing, 20, kpl=False, sections=["static", "submission", "distribution"])
    assert book.see(nothing, 30, kpl=False) == "read"
    assert book.ask("SELECT amount, to_slot FROM koii.stakes") == [(7, None)]
    assert book.ask("SELECT amount, to_slot FROM koii.available_balances") == [(3, None)]
    assert book.ask("SELECT ip_address, to_slot FROM koii.ip_addresses") == [("http://a", None)]
    book.see({**nothing, "total_stake_amount": 0}, 40, kpl=False)
    assert book.ask("SELECT amount, listed, from_slot FROM koii.stakes WHERE to_slot IS NULL") == [(0, False, 40)]
    assert book.ask("SELECT listed FROM koii.available_balances WHERE to_slot IS NULL") == [(False,)]


def test_a_borsh_account_is_whole_so_its_empty_map_is_empty(book: Koii) -> None:
    book.see({**ACTIVE, "stake_list": {A: 7}, "total_stake_amount": 7}, 10)
    book.see({**ACTIVE, "total_stake_amount": 7}, 20)
    assert book.ask("SELECT amount, listed, from_slot FROM koii.stakes WHERE to_slot IS NULL") == [(0, False, 20)]


def test_integers_above_2_to_the_53_stay_exact(book: Koii) -> None:
    most = 2**64 - 1
    book.see({**ACTIVE, "stake_list": {A: most}, "total_bounty_amount": most, "minimum_stake_amount": 2**53 + 1}, 10)
    assert book.ask("SELECT amount FROM koii.stakes") == [(most,)]
    assert book.ask("SELECT total_bounty_amount, minimum_stake_amount FROM koii.tasks") == [(most, 2**53 + 1)]


def test_hostile_texts_and_times_are_written_and_stay(book: Koii) -> None:
    text = "nul \0 and \udcff"
    state = {
        **ACTIVE, "task_name": text, "migrated_to": text, "starting_slot": 2**64 - 1, "round_time": 2**64 - 1,
        "submissions": by_round({3: [A]}, text), "ip_address_list": {A: text, B: "b" * 10_000},
    }  # fmt: skip
    book.see(state, 10)
    raw = text.encode("utf-8", "surrogateescape")
    assert book.ask("SELECT task_name, task_name_raw, starting_slot FROM koii.tasks") == [(None, raw, 2**64 - 1)]
    assert book.ask("SELECT value, value_raw FROM koii.submissions") == [(None, raw)]
    assert book.ask("SELECT ip_address_raw FROM koii.ip_addresses WHERE staker = %s", [A]) == [(raw,)]
    assert book.ask("SELECT count(*) FROM analytics.tasks") == [(1,)]
    assert book.ask("SELECT count(*) FROM analytics.work") == [(1,)]
    assert book.see({**state, "task_vars": "x"}, 20) == "read"
    assert len(book.ask("SELECT 1 FROM koii.ip_addresses")) == 2


def test_unknown_fields_are_kept_and_reported_once(book: Koii) -> None:
    tree = json.loads(as_json(ACTIVE))
    for slot, more in ((10, {"novel": {"a": [1, 2**70]}}), (20, {"novel": 1.5}), (30, {"novel": 1.5, "other": "\0"})):
        book.see_bytes(json.dumps({**tree, **more}).encode(), slot, kpl=False)
    found = book.ask("SELECT field, value::text, from_slot, to_slot FROM koii.unknown_fields ORDER BY 1, 3")
    assert found == [
        ("novel", '{"a": [1, 1180591620717411303424]}', 10, 20), ("novel", '"1.5"', 20, None),
        ("other", '{"raw": "00"}', 30, None),
    ]  # fmt: skip
    told = book.ask("SELECT message, times FROM chain.incidents WHERE kind = 'UnknownField' ORDER BY 1")
    assert [(text.split(" in a form")[0], times) for text, times in told] == [
        ("The state holds 'novel'", 1), ("The state holds 'other'", 1),
    ]  # fmt: skip


def test_contradicting_answers_are_told_and_the_first_stays(book: Koii) -> None:
    book.see({**ACTIVE, "submissions": by_round({0: [A]}, "one")}, 1110)
    book.see({**ACTIVE, "submissions": by_round({0: [A, B]}, "two")}, 1120)
    assert book.ask("SELECT submitter, value FROM koii.submissions ORDER BY 1") == [(A, "one"), (B, "two")]
    ((text,),) = book.ask("SELECT message FROM chain.incidents WHERE kind = 'Inconsistent'")
    assert "round 0" in text
    assert "'two'" in text
    assert "'one', 1105, which stays" in text


def test_versions_status_and_migration(book: Koii) -> None:
    states = [
        ACTIVE, {**ACTIVE, "total_bounty_amount": 9}, {**ACTIVE, "is_active": False},
        {**ACTIVE, "is_active": False, "is_migrated": True, "migrated_to": B},
    ]  # fmt: skip
    seen = []
    for n, state in enumerate(states):
        book.see(state, 10 * (n + 1))
        seen += book.ask("SELECT status, network_status FROM analytics.tasks")
    assert seen == [
        ("running", "active"), ("succeeded", "depleted"), ("cancelled", "inactive"), ("cancelled", "migrated"),
    ]  # fmt: skip
    versions = book.ask("SELECT from_slot, to_slot, is_active, is_migrated FROM koii.task_versions ORDER BY 1")
    assert versions == [(10, 30, True, False), (30, 40, False, False), (40, None, False, True)]
    assert book.ask("SELECT migrated_to, first_slot FROM koii.migrations") == [(B, 40)]
    assert book.ask("SELECT ended_slot FROM koii.tasks") == [(20,)]
    assert book.see(None, 50) == "deleted"
    assert book.ask("SELECT status, network_status FROM analytics.tasks") == [("cancelled", "deleted")]
    book.see(ACTIVE, 60)
    assert book.ask("SELECT status, ended_slot FROM koii.tasks") == [("active", None)]


def test_rounds_dropped_between_two_reads_are_missed_in_words(book: Koii) -> None:
    book.see({**ACTIVE, "submissions": by_round({0: [A], 1: [A]})}, 1245)
    book.see({**ACTIVE, "submissions": by_round({2: [A], 3: [A]})}, 1445)
    assert book.ask("SELECT count(*) FROM koii.missed_rounds") == [(0,)], "seen whole: nothing is missed"
    book.see({**ACTIVE, "submissions": by_round({9: [A], 10: [A]})}, 2145, gap="The provider did not answer.")
    ((first, last, reason),) = book.ask("SELECT from_round, to_round, reason FROM koii.missed_rounds")
    assert (first, last) == (4, 8)
    assert reason == (
        "They ended and were dropped between the reads in slots 1445 and 2145, 700 slots apart, where a round takes"
        " 100. The provider did not answer."
    )
    ((told,),) = book.ask("SELECT message FROM chain.incidents WHERE kind = 'MissedRounds'")
    assert told.startswith("Rounds 4 to 8 are missed. They ended")


def test_rounds_before_the_first_read_are_missed_too(book: Koii) -> None:
    book.see({**ACTIVE, "submissions": by_round({20: [A], 24: [A]})}, 3560)
    assert book.ask("SELECT from_round, to_round FROM koii.missed_rounds") == [(0, 19)]
    assert book.ask("SELECT 1 FROM chain.incidents WHERE kind = 'MissedRounds'") == []


Money = dict[str, int]
MOVES: list[tuple[str, tuple[Money, Money], tuple[Money, Money], set[tuple[str, int]]]] = [
    ("nothing", ({A: 50}, {A: 1}), ({A: 50}, {A: 1}), set()),
    ("stake", ({}, {}), ({A: 50}, {}), {("stake", 50)}),
    ("more stake", ({A: 50}, {}), ({A: 80}, {}), {("stake", 30)}),
    ("reward", ({A: 50}, {A: 1}), ({A: 50}, {A: 8}), {("reward", 7)}),
    ("first reward", ({A: 50}, {}), ({A: 50}, {A: 7}), {("reward", 7)}),
    ("slash", ({A: 50}, {A: 1}), ({A: 15}, {A: 1}), {("slash", 35)}),
    ("claim to nothing", ({A: 50}, {A: 9}), ({A: 50}, {A: 0}), {("claim", 9)}),
    ("claim and gone", ({A: 50}, {A: 9}), ({A: 50}, {}), {("claim", 9)}),
    ("claim, then reward", ({A: 50}, {A: 9}), ({A: 50}, {A: 4}), {("claim", 9), ("reward", 4)}),
    ("unstake", ({A: 50}, {A: 9}), ({A: 0}, {A: 59}), {("unstake", 50)}),
    ("unstake and gone", ({A: 50}, {A: 9}), ({}, {A: 59}), {("unstake", 50)}),
    ("unstake and reward", ({A: 50}, {A: 9}), ({}, {A: 66}), {("unstake", 50), ("reward", 7)}),
    ("unstake and claim", ({A: 50}, {A: 9}), ({}, {}), {("unstake", 50), ("claim", 59)}),
    ("stake and reward", ({A: 50}, {A: 9}), ({A: 60}, {A: 12}), {("stake", 10), ("reward", 3)}),
]


def test_balance_changes(book: Koii) -> None:
    tasks = {what: key(100 + n) for n, (what, *_) in enumerate(MOVES)}
    for what, before, after, _ in MOVES:
        for slot, (stakes, balances) in ((10, before), (20, after)):
            tree = {**ACTIVE, "stake_list": {**stakes, B: 5}, "available_balances": {**balances, B: 5}}
            book.see(tree, slot, task=tasks[what])
    found = book.ask("SELECT task_id, kind, amount::int, staker, after_slot, from_slot FROM koii.balance_changes")
    for what, _, _, moves in MOVES:
        mine = {tuple(row[1:]) for row in found if row[0] == tasks[what]}
        assert mine == {(kind, amount, A, 10, 20) for kind, amount in moves}, what


def test_a_stake_that_goes_whole_after_votes_against_is_slashed(book: Koii) -> None:
    votes = [{"is_valid": False, "voter": key(n), "slot": 5} for n in (7, 8)]
    audit = {"submissions_audit_trigger": {"0": {A: {"trigger_by": B, "slot": 4, "votes": votes}}}}
    base = {**ACTIVE, "submissions": by_round({0: [A, B]}), **audit}
    book.see({**base, "stake_list": {A: 50, B: 50}}, 1150)
    paid = {"distributions_audit_record": {"0": "PayoutSuccessful"}, "available_balances": {B: 3}}
    book.see({**base, **paid, "stake_list": {B: 50}}, 1350)
    found = book.ask("SELECT staker, kind, amount::int, round FROM koii.balance_changes ORDER BY 2")
    assert found == [(B, "reward", 3, 0), (A, "slash", 50, 0)]
    work = book.ask("SELECT worker, state, reward::int, round FROM analytics.work ORDER BY 1")
    assert work == sorted([(A, "rejected", None, 0), (B, "accepted", 3, 0)])
    workers = book.ask("SELECT worker, submitted, accepted, lost, earned::int, slashed::int FROM analytics.workers")
    assert sorted(workers) == sorted([(A, 1, 0, 1, 0, 50), (B, 1, 1, 0, 3, 0)])
    rounds = "SELECT round, participants, audits, payout, paid_slot FROM koii.rounds"
    assert book.ask(rounds) == [(0, 2, 1, "PayoutSuccessful", 1350)]
    payments = book.ask("SELECT kind, from_address, to_address, amount::int, token FROM analytics.payments ORDER BY 1")
    token = ACTIVE["token_type"]
    assert payments == [("reward", TASK, B, 3, token), ("slash", A, TASK, 50, "KOII")]


def test_a_lone_section_leaves_the_others(book: Koii) -> None:
    book.see(
        {**ACTIVE, "submissions": by_round({0: [A]}), "stake_list": {A: 7}, "total_stake_amount": 7}, 10, kpl=False
    )
    only = json.dumps({"submissions": by_round({0: [A], 1: [B]}), "submissions_audit_trigger": {}}).encode()
    book.see_bytes(only, 20, kpl=False, sections=["submission"])
    assert book.ask("SELECT count(*) FROM koii.submissions") == [(2,)]
    assert book.ask("SELECT task_name, last_slot FROM koii.tasks") == [("a task", 10)]
    flags = sql.SQL(", ").join(map(sql.Identifier, SECTIONS))
    found = book.ask(sql.SQL("SELECT {} FROM koii.snapshots ORDER BY snapshot_id").format(flags))
    assert found == [(True,) * 5, (False, True, False, False, False)]
