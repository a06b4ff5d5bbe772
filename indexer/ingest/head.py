"""How far a chain has got, and how far it is final."""

from indexer.chain.age import counted
from indexer.rpc.identify import finalized, head, header_at, headers
from indexer.rpc.transport import Provider
from indexer.rpc.types import Header

FINAL_SECONDS = 900  # where no `finalized` tag moves: what is this old is taken for final
SAMPLES, PAUSES = 16, 8  # blocks that tell the pace; how often pauses are stepped over
TAG_ALIVE = 1024  # blocks after which a tag that still says 0 is taken for one that never moves


async def ends(provider: Provider, newest: Header | None = None) -> tuple[Header, Header | None]:
    """The newest header and, by the `finalized` tag, the newest final one; None where that tag does not move.

    `newest`: the newest header where it is known already. A final block above it counts as the newest one: a backend
    that lags told of the other, and that may be of a branch that was lost, so it must not be taken for final.
    """
    newest = newest or await head(provider)
    tagged = await finalized(provider)
    if tagged is None or not moves(tagged, newest):
        return newest, None
    return max(newest, tagged, key=lambda header: int(header.number, 16)), tagged


def moves(tagged: Header, newest: Header) -> bool:
    """Whether the `finalized` tag of a chain means something: one that still says 0 on a long chain never moves."""
    return int(tagged.number, 16) > 0 or int(newest.number, 16) < TAG_ALIVE


async def older_than(provider: Provider, newest: Header, seconds: float = FINAL_SECONDS) -> Header:
    """The newest block that is at least `seconds` older than `newest`, a pause of the chain not counted; the first one
    when none is."""
    lacking = seconds
    for _ in range(PAUSES):
        found = await _before(provider, newest, int(newest.timestamp, 16) - seconds)
        missing = lacking - await _age(provider, found, newest)
        if missing <= 0 or int(found.number, 16) == 0:
            break
        seconds = int(newest.timestamp, 16) - int(found.timestamp, 16) + missing
    return found


async def _age(provider: Provider, found: Header, newest: Header) -> float:
    """Seconds between both that count, by some blocks between them and, to know the usual pace, as many below."""
    low, high = int(found.number, 16), int(newest.number, 16)
    step = max(1, (high - low) // SAMPLES)
    numbers = [*range(max(0, low - SAMPLES * step), low, step), *range(low, high, step)]
    times = [int(header.timestamp, 16) for header in await headers(provider, numbers)]
    gaps = counted([*times, int(newest.timestamp, 16)])
    return sum(gaps[numbers.index(low) :]) if numbers else 0.0


async def _before(provider: Provider, newest: Header, limit: float) -> Header:
    """The newest block not younger than `limit` (Unix seconds)."""
    low, high, step = int(newest.number, 16), int(newest.number, 16), 64
    found = newest
    while low > 0 and int((found := await header_at(provider, low)).timestamp, 16) > limit:
        low, high, step = max(0, low - step), low, step * 4
    while low + 1 < high:
        middle = (low + high) // 2
        header = await header_at(provider, middle)
        if int(header.timestamp, 16) > limit:
            high = middle
        else:
            low, found = middle, header
    return found if int(found.number, 16) == low else await header_at(provider, low)
