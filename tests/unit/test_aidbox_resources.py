"""Whatever a resource holds, it becomes a row that PostgreSQL can hold, and nothing of it is lost."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.networks.aidbox import LOG, TASK, WORKFLOW, Unreadable, parse, read
from indexer.networks.aidbox.resource import FIELDS
from indexer.networks.text import split

GOOD: dict[str, Any] = {"id": "a", "resourceType": TASK, "definition": "clinic/x", "status": "ready", "params": {}}


def columns(**changes: Any) -> dict[str, Any]:
    return read(GOOD | changes, TASK).columns


@pytest.mark.parametrize("value", [None, 7, "a", [], {}, {"id": ""}, {"id": 7}, {"id": "x" * 256}, {"id": "a\0"}])
def test_what_has_no_id_is_no_resource(value: Any) -> None:
    with pytest.raises(Unreadable):
        read(value, TASK)


def test_another_type_of_resource_is_none() -> None:
    with pytest.raises(Unreadable, match="no resource of type AidboxTask"):
        read({"id": "a", "resourceType": "Patient"}, TASK)
    assert read({"id": "a"}, LOG).resource == LOG
    assert read({"id": "a", "resourceType": WORKFLOW}, TASK).resource == WORKFLOW


def test_unknown_fields_and_words_are_kept_and_named() -> None:
    version = read(
        GOOD | {"status": "paused", "priority": 3, "label": ["a"], "outcomeReason": {"type": "new", "why": {}}}, TASK
    )
    assert version.columns["status"] == "paused"
    assert version.columns["outcome_type"] == "new"
    assert version.extra == {"priority": 3, "label": ["a"], "outcomeReason.why": {}}
    assert sorted(version.odd) == sorted(
        [
            ("priority", ""),
            ("label", ""),
            ("outcomeReason.why", ""),
            ("status", "paused"),
            ("outcomeReason.type", "new"),
        ]
    )


def test_text_that_postgresql_refuses_keeps_its_bytes() -> None:
    body = b'{"id":"a","label":"\xff\xfe","definition":"x\\u0000y","params":{"a\\u0000":"\\ud800"}}'
    held = read(parse(body), TASK).columns
    assert (held["label"], held["label_raw"]) == (None, b"\xff\xfe")
    assert (held["definition"], held["definition_raw"]) == (None, b"x\0y")
    assert held["params"] == {"raw_names": {"6100": {"raw": "eda080"}}}
    long = columns(definition="d" * 501)
    assert (long["definition"], long["definition_raw"]) == (None, b"d" * 501)


def test_numbers_and_times_in_every_form() -> None:
    body = b'{"id":"a","retryCount":1.50,"retryDelay":1e400,"params":[0.1,1e400,123456789012345678901234567890,NaN]}'
    version = read(parse(body), TASK)
    assert version.columns["retry_count"] == Decimal("1.5")
    assert version.extra == {"retryDelay": {"number": "1e400"}}
    assert version.columns["params"] == [0.1, {"number": "1e400"}, 123456789012345678901234567890, {"number": "NaN"}]
    assert columns(executeAt="2023-05-03T13:30:43")["execute_at"] == datetime(2023, 5, 3, 13, 30, 43, tzinfo=UTC)
    assert columns(executeAt="2023-05-03T15:30:43+02:00")["execute_at"] == datetime(2023, 5, 3, 13, 30, 43, tzinfo=UTC)
    assert read(GOOD | {"executeAt": "soon"}, TASK).extra == {"executeAt": "soon"}
    assert columns(retryCount=True)["retry_count"] is None
    assert len(parse(b'{"a":' + b"9" * 5000 + b"}")["a"]["number"]) == 5000


def test_what_is_nested_too_deeply_is_unreadable_and_not_a_crash() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(Unreadable, match="nested too deeply"):
        read(GOOD | {"params": deep}, TASK)
    for body in (b"[" * 100_000 + b"]" * 100_000, b"[" * 100_000, b'{"a":' * 100_000, b"[1," * 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse(body)
    text = '{"a": "' + "[" * 10_000 + '\\" {"}'
    assert parse(text.encode()) == json.loads(text)
    assert parse(b"[" * 200 + b"]" * 200)


def test_versions_without_a_number_have_a_key_of_their_content() -> None:
    one, other = read(GOOD, TASK), read(GOOD | {"status": "done"}, TASK)
    assert one.number is None
    assert one.version.startswith("none:")
    assert one.version != other.version
    assert read(GOOD | {"meta": {"versionId": "x7"}}, TASK).version == "x7"
    assert read(GOOD | {"meta": {"versionId": "9" * 30}}, TASK).number is None
    assert read(GOOD | {"meta": {"versionId": 7}}, TASK).extra == {"meta.versionId": 7}


NAMES = sorted({path.partition(".")[0] for fields in FIELDS.values() for path, _, _ in fields.values()})
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=8,
)
RESOURCES = st.dictionaries(st.sampled_from([*NAMES, "meta", "resourceType", "id"]) | st.text(), ANY, max_size=10)


@settings(max_examples=300, deadline=None)
@given(RESOURCES, st.sampled_from([TASK, WORKFLOW, LOG]))
def test_no_resource_crashes_the_reader_and_nothing_is_lost(value: dict[str, Any], expected: str) -> None:
    parsed = parse(json.dumps(value).encode("utf-8", "surrogatepass"))
    try:
        version = read({"id": "a", "resourceType": expected, **parsed}, expected)
    except Unreadable:
        return
    for column, held in version.columns.items():
        assert not isinstance(held, str) or split(held) == (held, None), column
        assert column in FIELDS[version.resource] or column.removesuffix("_raw") in FIELDS[version.resource]
    json.dumps([version.extra, version.columns.get("params")], allow_nan=False).encode()
    names = {path for path, _, _ in FIELDS[version.resource].values()}
    for name, item in parsed.items():
        if name in ("id", "resourceType", "meta") or item is None or isinstance(item, dict):
            continue
        held = [column for column, (path, _, _) in FIELDS[version.resource].items() if path == name]
        kept = any(
            version.columns[column] is not None or version.columns.get(f"{column}_raw") is not None for column in held
        )
        assert kept or name in version.extra or split(name)[1] is not None, name
    assert names
