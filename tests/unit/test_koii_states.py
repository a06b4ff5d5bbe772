"""Reading states of Koii tasks: both encodings against an encoder of the tests' own, samples, damage and surprises."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from indexer.errors import StateUnreadable
from indexer.networks.koii import KOII_PROGRAM, KPL_PROGRAM, base58, borsh_state, json_state, read_state
from indexer.networks.text import split
from tests.unit.koii_oracle import LAYOUT, as_json, borsh, flat, keys, plain, states

SAMPLES = Path(__file__).parents[3] / "shared" / "protocols" / "koii-samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no folder ../shared/protocols/koii-samples here")
KEY = str(Pubkey(bytes(range(32))))
EMPTY: dict[str, Any] = {
    name: {"bool": False, "u8": 0, "u64": 0, "text": "", "key": KEY}[kind] if isinstance(kind, str) else {}
    for name, kind in LAYOUT
}


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


@given(st.binary(max_size=40))
def test_base58_is_that_of_solana(value: bytes) -> None:
    assert base58.decode(base58.encode(value)) == value
    if len(value) == 32:
        assert base58.encode(value) == str(Pubkey(value))
        assert base58.is_address(base58.encode(value))


@settings(max_examples=60, deadline=None)
@given(states)
def test_borsh_round_trips(state: dict[str, Any]) -> None:
    found = read_state(KPL_PROGRAM, borsh(state))
    assert plain(found) == flat(state)
    assert found.unknown == {}


@settings(max_examples=60, deadline=None)
@given(states)
def test_json_tells_the_same(state: dict[str, Any]) -> None:
    found = read_state(KOII_PROGRAM, as_json(state) + b"\n\0\0\0")
    own = {"stake_pot_seed", "stake_pot_bump", "token_type"}
    expected = {name: value for name, value in flat(state).items() if name not in own}
    assert plain(found) == {**expected, "koii_vars": ""}
    assert found.unknown == {}


@settings(max_examples=40, deadline=None)
@given(states, st.data())
def test_an_account_that_is_cut_or_too_long_is_refused(state: dict[str, Any], data: st.DataObject) -> None:
    whole = borsh(state)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(StateUnreadable, match=r"too few|should be 0 or 1"):
        borsh_state.read(whole[:cut])
    with pytest.raises(StateUnreadable, match="1 bytes are left behind its last field"):
        borsh_state.read(whole + b"\0")
    text = as_json(state)
    with pytest.raises(StateUnreadable, match="it is not JSON"):
        json_state.read(text[: min(cut, len(text) - 1)])


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=600), st.tuples(states, st.data())))
def test_any_bytes_are_a_state_or_a_typed_error(made: Any) -> None:
    if isinstance(made, bytes):
        damaged = [made, b'{"submissions":' + made + b"}"]
    else:
        state, data = made
        damaged = []
        for whole in (borsh(state), as_json(state)):
            spoilt = bytearray(whole)
            for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)):
                spoilt[place] = data.draw(st.integers(0, 255))
            damaged.append(bytes(spoilt))
    for value in damaged:
        for read in (borsh_state.read, json_state.read):
            with contextlib.suppress(StateUnreadable):
                assert read(value).static.keys() <= {name for name, _ in LAYOUT} | {"koii_vars"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["1", "x", KEY, "slot"]), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([name for name, _ in LAYOUT] + ["novel"]), json_values))
def test_any_json_object_is_read_and_what_does_not_fit_is_kept(tree: dict[str, Any]) -> None:
    found = json_state.read(json.dumps(tree).encode())
    assert ("novel" in found.unknown) == ("novel" in tree)
    for name, value in tree.items():
        if isinstance(value, bool | int | str) and found.static.get(name) is None and name not in (
            "total_bounty_amount", "total_stake_amount",
        ):  # fmt: skip
            assert found.unknown[name] == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is not JSON"), (b"\0" * 600, "it is not JSON"), (b"[]", "no object"), (b"7", "no object"),
        (b"[" * 100_000, "nested too deeply|it is not JSON"), (b'{"a":NaN}', "NaN is no JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "it is not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_json_object(data: bytes, said: str) -> None:
    with pytest.raises(StateUnreadable, match=said):
        json_state.read(data)


def test_another_owner_is_refused_by_name() -> None:
    other = "11111111111111111111111111111111"
    with pytest.raises(StateUnreadable, match=f"its owner {other} is no task program of Koii"):
        read_state(other, borsh(EMPTY))


def test_an_empty_kpl_state_has_264_bytes() -> None:
    """koii.md A3, from Koii's own decoder."""
    assert len(borsh(EMPTY)) == 264
    assert plain(borsh_state.read(borsh(EMPTY))) == flat(EMPTY)


def test_a_value_of_a_later_version_is_kept_and_told() -> None:
    state = {**EMPTY, "distributions_audit_record": {"7": "Variant9", "8": "PayoutFailed"}}
    found = borsh_state.read(borsh(state))
    assert [(r.round, r.status) for r in found.records or ()] == [(7, "Variant9"), (8, "PayoutFailed")]
    assert found.unknown == {"distributions_audit_record": {"7": "Variant9"}}
    later = json.loads(as_json({**EMPTY, "distributions_audit_record": {}}))
    later["distributions_audit_record"] = {"7": "PayoutHalted"}
    read = json_state.read(json.dumps(later).encode())
    assert [(r.round, r.status) for r in read.records or ()] == [(7, "PayoutHalted")]
    assert read.unknown == {"distributions_audit_record": {"7": "PayoutHalted"}}


def test_text_that_is_not_utf_8_keeps_its_bytes() -> None:
    raw = b"\xff\xfe caf\xe9"
    text = raw.decode("utf-8", "surrogateescape")
    entry = {"submission_value": text, "slot": 1, "round": 0}
    state = {**EMPTY, "task_name": text, "submissions": {"0": {KEY: entry}}}
    found = borsh_state.read(borsh(state))
    assert split(found.static["task_name"]) == (None, raw)
    assert split(found.submissions[0].value) == (None, raw)  # type: ignore[index]
    data = b'{"task_name":"' + raw + b'","task_vars":"\\ud800","koii_vars":"a\\u0000b","task_metadata":"\xc3\xa9"}'
    static = json_state.read(data).static
    assert split(static["task_name"]) == (None, raw)
    assert split(static["task_vars"]) == (None, b"\xed\xa0\x80")
    assert split(static["koii_vars"]) == (None, b"a\0b")
    assert split(static["task_metadata"]) == ("é", None)


@given(keys, st.integers(0, 9))
def test_entries_that_do_not_fit_are_set_aside_one_by_one(key: str, number: int) -> None:
    good = {"submission_value": "x", "slot": 5}
    tree = {
        "submissions": {
            str(number): {key: good, "no key": good, KEY[:-1] + "0": good},
            "007": {key: good}, "-1": {key: good}, str(2**63): {key: good}, "11": [], "12": {key: {"slot": 2**63}},
            "13": {key: {**good, "extra": 1}},
        },
    }  # fmt: skip
    found = json_state.read(json.dumps(tree).encode())
    assert [(s.round, s.submitter) for s in found.submissions or ()] == [(number, key), (13, key)]
    aside = found.unknown["submissions"]
    assert aside.keys() == {str(number), "007", "-1", str(2**63), "11", "12", "13"}
    assert aside[str(number)].keys() == {"no key", KEY[:-1] + "0"}
    assert aside["13"] == {key: {"extra": 1}}


@needs_samples
def test_the_reconstructed_state() -> None:
    expected = sample("reconstructed_kpl_state.json")["state"]
    found = borsh_state.read((SAMPLES / "reconstructed_kpl_state.bin").read_bytes())
    assert plain(found) == flat(expected)
    assert borsh(expected) == (SAMPLES / "reconstructed_kpl_state.bin").read_bytes()


@needs_samples
def test_the_state_of_an_older_contract() -> None:
    tree = sample("koii_docs_did_task_raw.json")["state"]
    found = json_state.read(json.dumps(tree).encode())
    assert found.unknown == {}
    assert found.static["is_allowlisted"] is False
    assert found.static["task_manager"] == str(Pubkey(bytes(tree["task_manager"])))
    assert found.static["stake_pot_account"] == str(Pubkey(bytes(tree["stake_pot_account"])))
    assert "allowed_failed_distributions" not in found.static
    assert (found.stakes, found.submissions, found.total_bounty_amount) == ({}, [], 10**12)


@needs_samples
def test_real_entries_of_both_programs() -> None:
    fragment = sample("koii_bonus_task_submissions_fragment.json")["submissions"]
    found = json_state.read(json.dumps({"submissions": fragment}).encode())
    assert [s.round for s in found.submissions or ()] == [0, 4, 6, 6]
    assert [s.value for s in found.submissions or ()][1] == ""
    assert found.stakes is None, "a section that is not there is not empty"
    triggers = sample("koii_create_task_cli_fragment.json")["distributions_audit_trigger"]
    found = json_state.read(json.dumps({"distributions_audit_trigger": triggers}).encode())
    assert [(a.round, a.slot) for a in found.distribution_audits or ()] == [(198, 41399907)]
    assert (found.distribution_votes, found.unknown) == ([], {})
    real = sample("infrascan_kpl_mainnet_distribution_submissions.json")["distribution_rewards_submission"]
    found = json_state.read(json.dumps({"distribution_rewards_submission": real}).encode())
    assert len(found.distributions or ()) == 6
    assert all(each.account == each.node for each in found.distributions or ()), "koii.md A4: in all six cases"
    fixture = sample("koii_orca_audit_fixture.json")
    found = json_state.read(json.dumps({"submissions_audit_trigger": fixture["submissions_audit_trigger"]}).encode())
    assert [v.is_valid for v in found.submission_votes or ()] == [False, False]
