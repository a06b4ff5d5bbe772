"""The exact binomial bound, against published tables and the binomial distribution itself."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.chain.proportion import upper_bound

# One-sided 95 % limits as tables of the binomial distribution print them (Clopper and Pearson).
TABLE = {
    (0, 10): 0.2589, (1, 10): 0.3942, (2, 10): 0.5069, (3, 10): 0.6066, (5, 10): 0.7776, (9, 10): 0.9949,
    (0, 20): 0.1391, (1, 20): 0.2161, (0, 30): 0.0950, (0, 100): 0.0295, (1, 100): 0.0466, (5, 100): 0.1023,
}  # fmt: skip
# For rare events the bound is that of the Poisson distribution: found -> limit of the expected number.
RARE = {0: 2.996, 1: 4.744, 2: 6.296, 3: 7.754, 10: 16.962}


@pytest.mark.parametrize(("found", "tried"), TABLE)
def test_the_bounds_of_the_tables(found: int, tried: int) -> None:
    assert upper_bound(found, tried) == pytest.approx(TABLE[found, tried], abs=6e-5)


@pytest.mark.parametrize("found", RARE)
def test_rare_omissions_in_very_many_logs(found: int) -> None:
    assert upper_bound(found, 100_000_000) * 100_000_000 == pytest.approx(RARE[found], rel=1e-3)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_the_bound_is_where_the_binomial_distribution_says(drawn: tuple[int, int]) -> None:
    found, tried = drawn
    share = Fraction(upper_bound(found, tried))
    exactly = sum(comb(tried, k) * share**k * (1 - share) ** (tried - k) for k in range(found + 1))
    assert float(exactly) == pytest.approx(0.05, rel=1e-6)


def test_many_found_of_many_and_what_is_no_share() -> None:
    assert upper_bound(7, 7) == 1.0
    assert upper_bound(0, 0) == 1.0
    assert 0.5 < upper_bound(500_000, 1_000_000) < 0.501
    for found, tried in ((-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="no share"):
            upper_bound(found, tried)
