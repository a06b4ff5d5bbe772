"""How many blocks to ask for at once. Pure: it learns from what it is told.

A provider refuses for two different reasons that need two different memories: too many *blocks* is a fixed
rule of the provider and holds everywhere (`cap`); too many *results* or too slow an answer says something about
this stretch of the chain only, so the size shrinks and may grow again further on.
"""

from dataclasses import dataclass

from indexer.chain.ranges import Range
from indexer.errors import TooLarge

START_BLOCKS = 2_000
MAX_BLOCKS = 10_000_000
TARGET_BYTES = 4 << 20  # of one answer: large enough to amortise the round trip, small enough for memory
TARGET_SECONDS = 4.0  # of one answer: well below the time-outs of public providers
WIDEST = 50  # ranges in one batch: one header binds them all, so its call costs 2 % and not 100 %
TOO_MANY_BYTES = 4 * TARGET_BYTES  # an answer this large is asked for again in pieces, lest four of them fill memory
CLOSE_ENOUGH = 1.1  # a known good size within 10 % of a known bad one is not worth another refusal


@dataclass
class Sizer:
    """The present range size, in blocks, of one group of contracts at one provider."""

    size: int = START_BLOCKS
    cap: int | None = None
    max_results: int | None = None
    refused: int | None = None
    good: int = 0
    bytes_per_block: float = 0.0
    widest: int = WIDEST

    def begin_with(self, cap: int | None, max_results: int | None, max_batch: int | None) -> None:
        """Start from what is known of the provider: largest range in blocks, most logs per answer, longest batch."""
        if cap:
            self.cap = min(self.cap or cap, cap)
            self.size = min(self.size, self.cap)
        self.max_results = max_results or self.max_results
        if max_batch:
            self.note_batch_refusal(max_batch)

    def note_answer(self, blocks: int, size_bytes: int, seconds: float) -> None:
        """Learn from an answer of `size_bytes` bytes over `blocks` blocks that took `seconds`."""
        self.good = max(self.good, blocks)
        rate = size_bytes / blocks
        self.bytes_per_block = rate if not self.bytes_per_block else 0.7 * self.bytes_per_block + 0.3 * rate
        if size_bytes > TARGET_BYTES:
            self.size = max(1, min(self.size, blocks * TARGET_BYTES // size_bytes))
        elif blocks >= self.size // 2:
            room = min(TARGET_BYTES / max(size_bytes, 1), TARGET_SECONDS / max(seconds, 0.001))
            self.size = self._allowed(int(self.size * max(0.5, min(4.0, room))))

    def note_refusal(self, asked: Range, error: TooLarge) -> None:
        """Learn from a refusal of the range `asked`; the provider's own hint wins over halving."""
        if error.max_blocks:
            self.cap = min(self.cap or error.max_blocks, error.max_blocks)
            self.size = min(self.size, self.cap)
        elif error.upto is not None and asked.first <= error.upto < asked.last:
            self.size = max(1, min(self.size, error.upto - asked.first + 1))
        elif max_bytes := _max_bytes(error):
            self.note_bytes(asked.blocks, max_bytes)
            self.size = max(1, min(self.size, asked.blocks * TARGET_BYTES // max_bytes))
        elif error.max_results:
            self.max_results = error.max_results
            self.size = max(1, min(self.size, asked.blocks // 2))
        else:
            self.refused = min(self.refused or asked.blocks, asked.blocks)
            half = asked.blocks // 2
            self.size = max(1, min(self.size, self.good if half < self.good < asked.blocks else half))

    def split(self, asked: Range, error: TooLarge) -> list[Range]:
        """`asked` cut into pieces that should now be answered. Raises the error for a single block."""
        if asked.blocks == 1:
            raise error
        if error.upto is not None and asked.first <= error.upto < asked.last:
            return [Range(asked.first, error.upto), Range(error.upto + 1, asked.last)]
        if error.max_blocks and error.max_blocks < asked.blocks:
            return cut(asked, error.max_blocks)
        if max_bytes := _max_bytes(error):
            return cut(asked, max(1, asked.blocks * TARGET_BYTES // max_bytes))
        return list(asked.halves())

    def note_bytes(self, blocks: int, at_least: int) -> None:
        """Learn that `blocks` blocks hold at least `at_least` bytes of logs."""
        self.bytes_per_block = max(self.bytes_per_block, at_least / blocks)

    def expected_bytes(self, blocks: int) -> int:
        """About how many bytes `blocks` blocks will hold."""
        return int(blocks * self.bytes_per_block) if self.bytes_per_block else TARGET_BYTES

    def note_batch(self, width: int, seconds: float) -> None:
        """Learn from a batch of `width` ranges that took `seconds`: slow batches get narrower, fast ones wider."""
        if seconds > TARGET_SECONDS:
            self.widest = max(1, width // 2)
        elif seconds < TARGET_SECONDS / 4 and width >= self.widest:
            self.widest = min(WIDEST, self.widest * 2)

    def note_batch_refusal(self, max_calls: int) -> None:
        """Learn that a batch may hold `max_calls` calls, the header's among them."""
        self.widest = max(1, min(self.widest, max_calls - 1))

    @property
    def width(self) -> int:
        """How many ranges to ask for in one batch: many only where larger ranges are not to be had."""
        limited = self.cap is not None and self.size >= self.cap
        limited = limited or (self.refused is not None and self.good * CLOSE_ENOUGH >= self.refused)
        if self.probing() or not limited:
            return 1
        return max(1, min(self.widest, int(TARGET_BYTES / max(self.size * self.bytes_per_block, 1))))

    def probing(self) -> bool:
        """True while a range of the present size has never been answered: ask one such range, not many."""
        return self.size > self.good

    def _allowed(self, size: int) -> int:
        limits = [MAX_BLOCKS]
        if self.cap:
            limits.append(self.cap)
        if self.refused:
            close = self.good * CLOSE_ENOUGH >= self.refused
            limits.append(self.good if close else max(self.good, _roundest(self.good, self.refused)))
        return max(1, min(size, *limits))


def cut(piece: Range, size: int) -> list[Range]:
    """`piece` cut into consecutive ranges of at most `size` blocks."""
    return [Range(n, min(n + size - 1, piece.last)) for n in range(piece.first, piece.last + 1, size)]


def _roundest(good: int, refused: int) -> int:
    """The number between the two that a provider would most likely choose as its limit: 10,000 and not 9,750."""
    for zeros in range(len(str(refused)), 0, -1):
        step = int("1" + "0" * zeros)
        for part in (step, step // 2, step // 5):
            first, last = good // part + 1, (refused - 1) // part
            if part and first <= last:
                return (first + last) // 2 * part
    return (good + refused) // 2


def _max_bytes(error: TooLarge) -> int | None:
    """The bytes beyond which our own transport gave up reading the answer."""
    found = error.facts.get("max_bytes")
    return found if isinstance(found, int) else None
