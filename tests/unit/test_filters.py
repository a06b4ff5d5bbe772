"""Beginnings of texts as ranges, and hex text in the collation that indexes have."""

import re
import sys

from hypothesis import example, given
from hypothesis import strategies as st

from indexer.query.filters import beyond
from indexer.query.paying import least_above
from schema import view_scripts

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("0af\U0010ffff"))


@given(TEXTS, TEXTS)
@example("a" + chr(sys.maxunicode), "b")
@example("\ud7ff", "\ue000")
@example("0xab", "0xac")
def test_a_beginning_is_a_range(start: str, text: str) -> None:
    """Texts of PostgreSQL's collation C sort by code points, as Python's do."""
    for other in (text, start + text):
        end = beyond(start)
        assert (start <= other and (not end or other < end)) == other.startswith(start)


NEARLY_HEX = st.text("09afgx/:z~", max_size=5).map("0x".__add__) | st.text("0x1~", max_size=3)


@given(NEARLY_HEX, st.binary(max_size=3))
@example("0xfff", b"\xff\xf0")
@example("0xffg", b"\xff\xff")
def test_a_bound_of_hex_text_is_one_of_bytes(text: str, data: bytes) -> None:
    least = least_above(text)
    assert ("0x" + data.hex() >= text) == (least is not None and data >= least)
    assert least is None or "0x" + least.hex() >= text


def test_hex_text_is_compared_in_the_collation_of_its_indexes() -> None:
    """In another one PostgreSQL reads the whole table, and nothing but the clock tells."""
    found = [line.strip() for script in view_scripts() for line in script.splitlines()
             if re.search(r"analytics\.hex\([^()]*\) (=|IN|LIKE|>=|<) ?", line)]  # fmt: skip
    assert found == []
