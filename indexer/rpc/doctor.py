"""Finding out what a provider can do, with at most 40 calls: the probes of `taskscan doctor`.

Each probe asks something small whose answer is known in part, such as the logs of a contract that nobody has made.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from indexer.chain.bloom import of_logs
from indexer.chain.receipts import EMPTY_ROOT, receipts_root
from indexer.errors import MalformedAnswer, NotThereYet, RpcRefused, TaskscanError, TimedOut, TooLarge
from indexer.rpc import identify
from indexer.rpc.profile import Profile
from indexer.rpc.receipts import block_receipts, gives_receipts
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header, Log

T = TypeVar("T")

NOBODY = "0x" + "5ca1ab1e" * 5  # an address without logs and without code
RANGES = (10, 20, 50, 100, 200, 500, 800, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000,
          10_000_000)  # fmt: skip
FIRST_RANGE = RANGES.index(10_000)
BATCH = 12  # calls of the longest batch that is tried
STATES = (1_000_000, 10_000, 1_000, 128)  # blocks below the head
RESULTS = (2_500, 11_000)  # logs to ask for: most limits are 1,000, 2,000 or 10,000
ENOUGH_CALLS = 38  # after which no further probe begins
TAG_ALIVE = 64  # blocks after which a finalized tag that still says 0 does not move
NO_RECEIPTS = "0x" + EMPTY_ROOT.hex()
NO_BITS = 2049  # what stands for a bloom without any of its 2048 bits


@dataclass
class _Case:
    """A provider under examination, with the headers that it has sent."""

    provider: Provider
    profile: Profile
    headers: list[Header] = field(default_factory=list)

    @property
    def head(self) -> int:
        return self.profile.head or 0

    async def ask(self, call: Call, wanted: type[T]) -> T:
        return await _twice(lambda: self.provider.call(call, wanted))

    async def logs(self, wanted: dict[str, object]) -> list[Log]:
        return await self.ask(Call("eth_getLogs", (wanted,)), list[Log])


Probe = Callable[[_Case], Awaitable[None]]


async def examine_all(providers: Sequence[Provider], chain_id: int) -> list[Profile]:
    """The profile of each provider of one chain, and how far their heads lie apart. Raises nothing of theirs."""
    cases = [_Case(provider, Profile(provider.name, chain_id)) for provider in providers]
    await asyncio.gather(*(_guard(_meet, case) for case in cases))
    _spread([case.profile for case in cases])
    await asyncio.gather(*map(_examine, cases))
    return [case.profile for case in cases]


async def _examine(case: _Case) -> None:
    for probe in (_batches, _finality, _ranges, _old_logs, _state, _blooms, _receipts, _results):
        if not case.profile.problem and case.provider.calls < ENOUGH_CALLS:
            await _guard(probe, case)
    case.profile.calls = case.provider.calls


async def _guard(probe: Probe, case: _Case) -> None:
    """A provider that cannot be met or refuses logs is unusable; what goes wrong elsewhere only tells less of it."""
    try:
        await probe(case)
    except TaskscanError as error:
        if case.profile.head is None or (probe is _ranges and not case.profile.range_tried):
            case.profile.problem = str(error)
        else:
            case.profile.notes.append(f"Not everything could be found out: {error}")


async def _meet(case: _Case) -> None:
    """The right chain, the newest block, and how long small questions take."""
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        await _twice(lambda: identify.check_chain(case.provider, case.profile.chain_id))
        seconds.append(time.monotonic() - began)
    newest = await _twice(lambda: identify.head(case.provider))
    case.profile.latency_ms = round(1000 * statistics.median(seconds), 1)
    case.profile.head, case.profile.head_time = int(newest.number, 16), int(newest.timestamp, 16)
    case.headers.append(newest)


def _spread(profiles: Sequence[Profile]) -> None:
    heads = [(profile.head, profile.head_time or 0) for profile in profiles if profile.head is not None]
    for profile in profiles:
        if profile.head is not None:
            newest, at = max(heads)
            profile.behind, profile.behind_seconds = newest - profile.head, at - (profile.head_time or 0)


async def _batches(case: _Case) -> None:
    """The longest batch, as far as 12 calls can tell: of the newest headers."""
    wanted = [number for number in range(case.head - 1, case.head - 1 - BATCH, -1) if number >= 0]
    calls = [Call("eth_getBlockByNumber", (hex(number), False)) for number in wanted]
    if len(calls) < 2:
        return
    size = len(calls)
    while size > 1 and not await _answered(case, calls[:size]):
        size = min(size // 2, case.provider.max_batch)
    case.profile.batch_cap = 0 if size == len(calls) else max(size, 1)


async def _answered(case: _Case, calls: Sequence[Call]) -> bool:
    """Whether the provider takes so many calls at once. Raises what says nothing about that."""
    try:
        items = await _twice(lambda: case.provider.batch(calls))
    except (TooLarge, MalformedAnswer, RpcRefused):
        return False
    if all(isinstance(item, MalformedAnswer) for item in items):
        return False
    for item in items:
        if not isinstance(item, TaskscanError) and (header := _header(case.provider, item)):
            case.headers.append(header)
    return True


def _header(provider: Provider, item: object) -> Header | None:
    found: Header | None = provider.unwrap(item, Header | None)  # type: ignore[arg-type]
    return found


async def _finality(case: _Case) -> None:
    """How far the finalised block lies behind, and the seconds per block on the way there."""
    profile, final = case.profile, await identify.finalized(case.provider)
    number = int(final.number, 16) if final else 0
    if final and (number or case.head < TAG_ALIVE):
        profile.finalized_lag = max(0, case.head - number)
    old = final if final and 0 < number < case.head else None
    if old is None and case.head:
        earlier = max(0, case.head - 1_000)
        old = await _twice(lambda: identify.header_at(case.provider, earlier))
    if old is not None:
        blocks = case.head - int(old.number, 16)
        profile.block_seconds = round(((profile.head_time or 0) - int(old.timestamp, 16)) / blocks, 3)


async def _ranges(case: _Case) -> None:
    """The largest range of blocks: by the provider's own words, else by bisection over the usual limits."""
    profile, chain = case.profile, case.head + 1
    sizes = [*(size for size in RANGES[:-1] if size < chain), min(chain, RANGES[-1])]
    good, bad = -1, len(sizes)
    at = min(FIRST_RANGE, len(sizes) - 1)
    refused: TaskscanError | None = None
    while bad - good > 1:
        try:
            await _empty_logs(case, sizes[at])
        except (TooLarge, TimedOut) as error:  # too slow is too large, too
            refused, bad = error, at
            if isinstance(error, TooLarge) and error.max_blocks and error.max_blocks < sizes[at]:
                await _empty_logs(case, error.max_blocks)
                profile.range_cap = error.max_blocks
                return
        else:
            good = at
        at = len(sizes) - 1 if bad == len(sizes) else (good + bad) // 2
    if good < 0 and refused:
        raise refused
    profile.range_cap = sizes[good] if bad < len(sizes) else 0


async def _empty_logs(case: _Case, size: int) -> None:
    first = max(0, case.head - size + 1)
    await case.logs({"address": [NOBODY], "fromBlock": hex(first), "toBlock": hex(case.head)})
    case.profile.range_tried = max(case.profile.range_tried, size)


async def _old_logs(case: _Case) -> None:
    last = min(10, case.head, max(case.profile.range_tried - 1, 0))
    try:
        await case.logs({"address": [NOBODY], "fromBlock": "0x1", "toBlock": hex(last)})
        case.profile.old_logs = True
    except RpcRefused:
        case.profile.old_logs = False


async def _state(case: _Case) -> None:
    """How old the state may be that it still knows."""
    depths = [case.head - 1, *(depth for depth in STATES if depth < case.head - 1), 0]
    for depth in depths:
        try:
            await case.ask(Call("eth_getCode", (NOBODY, hex(max(0, case.head - depth)))), str)
        except (RpcRefused, NotThereYet):
            continue
        case.profile.state_depth, case.profile.all_state = max(0, depth), depth == depths[0]
        return


async def _blooms(case: _Case) -> None:
    """Does a header's bloom hold exactly the bits of all logs of its block? And do logs carry their block's time?

    Two of the newest blocks are taken, those with the fewest bits in their blooms, but with some if there are such.
    """
    profile, fits = case.profile, []
    for header in sorted(case.headers, key=_bits)[:2]:
        logs = await case.logs({"blockHash": header.hash})
        _note_times(profile, logs)
        profile.results_tried = max(profile.results_tried, len(logs))
        if logs or _bits(header) < NO_BITS:
            fits.append(header.logs_bloom.lower() == "0x" + of_logs(logs).hex())
    profile.blooms_truthful = all(fits) if fits else None


async def _receipts(case: _Case) -> None:
    """Do the receipts of a block give its header's receipts root? Of the newest blocks one that has some is taken."""
    full = [header for header in case.headers if header.receipts_root not in ("0x", NO_RECEIPTS)]
    if not full:
        return
    header = min(full, key=_bits)
    try:
        found = await _twice(lambda: block_receipts(case.provider, header, one_by_one=False))
        fits = "0x" + receipts_root(found).hex() == header.receipts_root.lower()
        case.profile.receipts = "by block" if fits else "none"
    except RpcRefused:
        case.profile.receipts = "one by one" if await _twice(lambda: gives_receipts(case.provider, header)) else "none"


def _bits(header: Header) -> int:
    """How many bits its bloom has; where there are none, or there is no bloom, it comes last."""
    try:
        return int(header.logs_bloom, 16).bit_count() or NO_BITS
    except ValueError:
        return NO_BITS


def _note_times(profile: Profile, logs: Sequence[Log]) -> None:
    if logs:
        profile.block_timestamp = all(log.block_timestamp is not None for log in logs)


async def _results(case: _Case) -> None:
    """The most logs of an answer: of the newest blocks and all contracts. Some answer only about given addresses."""
    profile, density = case.profile, max(case.profile.results_tried, 0.2)
    for wanted in RESULTS:
        size = int(min(profile.range_tried, max(1, wanted / density)))
        try:
            logs = await case.logs({"fromBlock": hex(max(0, case.head - size + 1)), "toBlock": hex(case.head)})
        except TooLarge as error:
            profile.result_cap = error.max_results
            return
        except RpcRefused:
            return
        _note_times(profile, logs)
        profile.results_tried = max(profile.results_tried, len(logs))
        density = max(len(logs) / size, 0.001)
    if profile.results_tried >= RESULTS[0]:
        profile.result_cap = 0


async def _twice(do: Callable[[], Awaitable[T]]) -> T:
    return await with_retries(do, attempts=2, budget_seconds=20)
