"""How large may a share be, given how often something was found in so many tries? Pure."""

from math import exp, lgamma, log, log1p

STEPS = 60  # halvings of the interval 0..1: far below the precision of a float that matters here


def upper_bound(found: int, tried: int, confidence: float = 0.95) -> float:
    """The largest share (0 to 1) that still gives `found` or fewer in `tried` tries with probability 1 - confidence.

    The exact one-sided binomial bound (Clopper and Pearson, 1934). With nothing found in n tries it is about 3/n. 1
    where nothing was tried. Raises ValueError unless 0 <= found <= tried and 0 < confidence < 1.
    """
    if not (0 <= found <= tried and 0 < confidence < 1):
        raise ValueError(f"no share: {found} of {tried} with confidence {confidence}")
    if found == tried:
        return 1.0
    low, high = found / tried, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _at_most(found, tried, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(found: int, tried: int, share: float) -> float:
    """Probability of `found` or fewer successes, summed downwards until the rest counts for nothing."""
    if share >= 1:
        return 0.0
    term = exp(
        lgamma(tried + 1) - lgamma(found + 1) - lgamma(tried - found + 1)
        + found * log(share or 1e-300) + (tried - found) * log1p(-share)
    )  # fmt: skip
    total, odds = 0.0, (1 - share) / (share or 1e-300)
    for k in range(found, -1, -1):
        total += term
        if term < total * 1e-16:
            break
        term *= k / (tried - k + 1) * odds
    return total
