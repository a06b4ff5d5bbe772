"""How far a chain has got, and how far it is final."""

from indexer.rpc.identify import finalized, head, header_at
from indexer.rpc.transport import Provider
from indexer.rpc.types import Header

FINAL_SECONDS = 900  # where no `finalized` tag moves: what is this old is taken for final
TAG_ALIVE = 64  # blocks after which a tag that still says 0 is taken for one that never moves


async def final_block(provider: Provider) -> tuple[Header, int]:
    """The newest header and the number of the newest final block: by the tag where it moves, else by time."""
    newest = await head(provider)
    number = int(newest.number, 16)
    tagged = await finalized(provider)
    if tagged is not None:
        final = int(tagged.number, 16)
        if final > 0 or number < TAG_ALIVE:
            return newest, min(final, number)
    return newest, await _older_than(provider, newest, FINAL_SECONDS)


async def _older_than(provider: Provider, newest: Header, seconds: int) -> int:
    """The newest block that is at least `seconds` older than `newest`; 0 when none is."""
    limit = int(newest.timestamp, 16) - seconds
    low, high, step = int(newest.number, 16), int(newest.number, 16), 64
    while low > 0 and int((await header_at(provider, low)).timestamp, 16) > limit:
        low, high, step = max(0, low - step), low, step * 4
    while low + 1 < high:
        middle = (low + high) // 2
        if int((await header_at(provider, middle)).timestamp, 16) > limit:
            high = middle
        else:
            low = middle
    return low
