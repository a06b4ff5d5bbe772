"""Scan: reading the final blocks of one chain in ranges, many at once.

Start with `Scanner.converge`; everything else here is one of its steps.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from indexer.chain.ranges import Range, subtract
from indexer.chain.sizing import TARGET_BYTES, TOO_MANY_BYTES, Sizer, cut
from indexer.chain.window import Point
from indexer.errors import DatabaseDown, Inconsistent, TaskscanError, TooLarge, Transient, ungrouped
from indexer.ingest.agree import SECOND, agreed
from indexer.ingest.budget import Budget
from indexer.ingest.by_hash import leads_to, read_range, unbound
from indexer.ingest.decode import to_batch
from indexer.ingest.fetch import Parsed, Reply, ask, parse, without_time
from indexer.ingest.progress import Progress
from indexer.ingest.proof import HEADERS_AT_ONCE, needs_proof, proven
from indexer.ingest.todo import Portion, Todo, refuse
from indexer.rpc.identify import headers
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.store import incidents, ledger
from indexer.store.fold import LOGS_AT_ONCE, fold_chain, fold_portion
from indexer.store.ledger import Group
from indexer.store.store import Store
from indexer.store.write import Batch, write

log = structlog.get_logger(__name__)

READERS = 4  # portions under way at once: one is fetched, one decoded, one written, one waits
IN_FLIGHT_BYTES = READERS * TARGET_BYTES  # of answers, between request and commit, whatever the number of chains
PATIENCE = 6  # failures in a row, with nothing read between them, after which a scan gives up
PAUSE = 0.5  # seconds, doubled by each further failure in a row


Answered = tuple[Range, msgspec.Raw]


class Scanner:
    """Brings the tables of one chain up to a final block."""

    def __init__(
        self, chain_id: int, pool: Pool, store: Store, progress: Progress, budget: Budget, *, folds: bool = True
    ) -> None:  # fmt: skip
        """`folds`: whether it folds what it reads; not where another process does that for many."""
        self._folds = folds
        self._chain_id = chain_id
        self._pool = pool
        self._store = store
        self._budget = budget
        self._sizers: dict[str, Sizer] = {}
        self._failures = 0
        self._unfolded = 0
        self._final = Point(0, b"")
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self.progress = progress

    async def converge(self, final: Point) -> None:
        """Read every block up to the block `final` that the ledger does not cover yet.

        When it returns, each watched contract, those born on the way included, is covered from its first block
        to `final`. It may be stopped and called again at any moment: a range counts as read only with its rows.
        Raises Transient when nobody answers for long, Terminal when repeating cannot help.
        """
        self._final, upto = final, final.number
        while True:
            await self._store.run(ledger.join_unread, self._chain_id)
            groups = await self._store.run(ledger.load_groups, self._chain_id)
            self.progress.plan(groups, upto)
            group = next((group for group in groups if group.gaps(upto)), None)
            if group is None:
                await self._fold_much()
                await self._store.beside(fold_chain, self._chain_id)
                await self._store.run(ledger.merge_groups, self._chain_id, upto)
                return
            await self._read_all(group, group.gaps(upto))

    async def fill(self, group_id: int, wanted: Range, final: Point) -> None:
        """Read what one group has not read yet of the blocks `wanted`, none of them above the block `final`.

        A group that is gone, joined with another one, leaves nothing to do. Raises as `converge`.
        """
        self._final = final
        while True:
            groups = await self._store.run(ledger.load_groups, self._chain_id)
            group = next((group for group in groups if group.group_id == group_id), None)
            gaps = group.gaps_within(wanted) if group else []
            if not group or not gaps:
                return
            await self._read_all(group, gaps)

    def close(self) -> None:
        """End the decoding thread."""
        self._decoding.shutdown(wait=False, cancel_futures=True)

    async def _read_all(self, group: Group, gaps: Sequence[Range]) -> None:
        todo = Todo(gaps)
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                readers = [tasks.create_task(self._reader(group, todo)) for _ in range(READERS)]
                if self._folds:
                    tasks.create_task(self._fold_beside(readers))

    async def _reader(self, group: Group, todo: Todo) -> None:
        while True:
            provider = self._pool.pick()
            portion = await todo.take(self.sizer(provider.name))
            if portion is None:
                return
            again: Sequence[Range] = portion.ranges
            try:
                again = await self._read(provider, group, portion)
                self._failures = 0
                self._pool.worked(provider)
            except (Transient, Inconsistent) as error:
                await self._endure(provider, error, portion)
            finally:
                await todo.give_back(portion, again)

    async def _fold_beside(self, readers: Sequence["asyncio.Task[None]"]) -> None:
        """Fold while the readers read, whenever enough logs have come together."""
        while not all(reader.done() for reader in readers):
            if self._unfolded >= LOGS_AT_ONCE:
                self._unfolded = 0
                await self._fold_much()
            await asyncio.wait(readers, timeout=PAUSE, return_when=asyncio.ALL_COMPLETED)

    async def _fold_much(self) -> None:
        while await self._store.beside(fold_portion, self._chain_id):
            pass

    def sizer(self, provider: str) -> Sizer:
        """How large the ranges are that `provider` is asked for."""
        return self._sizers.setdefault(provider, Sizer())

    async def _read(self, provider: Provider, group: Group, portion: Portion) -> list[Range]:
        """Fetch, decode and write one portion; what of it must be asked anew."""
        async with self._budget.hold(portion.sizer.expected_bytes(portion.blocks)) as becomes:
            batch, again = await self._fetch(provider, group, portion, becomes)
            if batch:
                batch.upto = self._final.number if self._folds else -1
                becomes(batch.size_bytes)
                with self.progress.stage("write"):
                    await self._store.run(write, batch)
                self.progress.note(batch)
                self._unfolded += batch.logs
        return again

    async def _fetch(
        self, provider: Provider, group: Group, portion: Portion, becomes: Callable[[int], None]
    ) -> tuple[Batch | None, list[Range]]:
        """The rows of a portion, and what of it must be asked anew. The answer is let go before the rows are written;
        `becomes` is told its size."""
        self.progress.provider = provider.name
        if needs_proof(self._pool, provider, group, self.progress):
            return await self._prove(provider, group, portion)
        if near := unbound(provider, portion.ranges[-1], self._final.number):
            return await self._by_hash(provider, group, near), subtract(portion.ranges, [near])
        try:
            with self.progress.stage("fetch"):
                attempts = 2 if self._pool.another([provider.name]) else 6
                reply = await ask(provider, group, portion.ranges, self._final, attempts=attempts)
        except TooLarge as error:
            return None, _narrower(portion, error, provider.max_batch)
        becomes(reply.size_bytes)
        good, again = _sort(portion.sizer, reply)
        if not good:
            return None, again
        with self.progress.stage("decode"):
            return await self._packed(provider, group, reply, good), again

    async def _prove(self, provider: Provider, group: Group, portion: Portion) -> tuple[Batch, list[Range]]:
        """The rows of what could be proven, and what of the portion could not: proofs are dear, so none is lost."""
        done: Parsed = []
        with self.progress.stage("fetch"):
            try:
                for part in (part for piece in portion.ranges for part in cut(piece, HEADERS_AT_ONCE)):
                    done += await self._proven(provider, group, part)
            except (Transient, Inconsistent) as error:
                if not done:
                    raise
                self.progress.doubt(error)
                log.info("proven in part", action="proven_in_part", provider=provider.name, error=str(error))
        batch = await self.decode(provider, group, done, {})
        return batch, subtract(portion.ranges, [read.range for _, read in done])

    async def _proven(self, provider: Provider, group: Group, piece: Range) -> Parsed:
        return await proven(self._pool, provider, group, piece, self._final, self.progress)

    async def _by_hash(self, provider: Provider, group: Group, piece: Range) -> Batch:
        truthful, bound = bool(self.progress.blooms), leads_to(piece, self._final)
        found = await read_range(self._pool, provider, group, piece, truthful=truthful, bound=bound)
        self.progress.omissions.update(found.omitted)
        return await self._agree(provider, group, found.parsed)

    async def _packed(self, provider: Provider, group: Group, reply: Reply, good: list[Answered]) -> Batch:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._decoding, _parse_and_pack, group, reply, good)
        return found if isinstance(found, Batch) else await self._agree(provider, group, found)

    async def _agree(self, provider: Provider, group: Group, parsed: Parsed) -> Batch:
        """The rows of `parsed`; where two providers must say the same, what they agree about."""
        if group.evidence == SECOND:
            parsed, dispute = await agreed(self._pool, provider, group, parsed, self._final, self.progress)
            if dispute:
                await self._store.run(incidents.note, self._chain_id, "ProvidersDiffer", provider.name, dispute)
        return await self.decode(provider, group, parsed, {})

    async def decode(self, provider: Provider, group: Group, parsed: Parsed, times: dict[str, int]) -> Batch:
        """The rows of `parsed`. `times`: Unix time of known blocks, by hash; other headers are asked for where logs do
        not carry it."""
        unknown = {n for logs, _ in parsed for block, n in without_time(logs).items() if block not in times}
        known = await with_retries(lambda: headers(provider, sorted(unknown)))
        times = times | {header.hash: int(header.timestamp, 16) for header in known}
        return await asyncio.get_running_loop().run_in_executor(self._decoding, to_batch, group, parsed, times)

    async def _endure(self, provider: Provider, error: Transient | Inconsistent, portion: Portion) -> None:
        """Turn to another provider, or wait before the next try, longer each time; raise the error when nothing has
        worked for long."""
        self._failures += 1
        subject = ", ".join(str(piece) for piece in portion.ranges[:3])
        log.warning("read failed", action="read_failed", blocks=subject, error=str(error), failures=self._failures)
        self.progress.doubt(error)
        if isinstance(error, Inconsistent):
            kind = type(error).__name__
            await self._store.run(incidents.note, self._chain_id, kind, subject, str(error))
        if error.facts.get("provider") == provider.name:
            self._pool.failed(provider, error)
            if self._pool.another([provider.name]):
                return
        if self._failures >= PATIENCE or isinstance(error, DatabaseDown):
            raise error
        await asyncio.sleep(PAUSE * 2**self._failures)


def _narrower(portion: Portion, error: TooLarge, max_batch: int) -> list[Range]:
    """The portion again after a refusal of the batch as a whole."""
    if len(portion.ranges) == 1 and not error.batch:
        return refuse(portion.sizer, portion.ranges[0], error)
    portion.sizer.note_batch_refusal(max_batch if error.batch else 1 + len(portion.ranges) // 2)
    return list(portion.ranges)


def _sort(sizer: Sizer, reply: Reply) -> tuple[list[Answered], list[Range]]:
    """The answers that can be used, and the ranges to ask for anew; tells the sizer what there is to learn.

    Raises the first error when no range was answered and none was cut, and any error that repeating cannot mend.
    """
    good: list[Answered] = []
    again: list[Range] = []
    failed: list[TaskscanError] = []
    seconds = reply.seconds / len(reply.answers)
    for piece, answer in reply.answers:
        if isinstance(answer, TooLarge):
            log.info("range refused", action="range_refused", blocks=str(piece), error=str(answer))
            again += refuse(sizer, piece, answer)
        elif isinstance(answer, TaskscanError):
            if not isinstance(answer, Transient | Inconsistent):
                raise answer
            failed.append(answer)
            again.append(piece)
        else:
            size = len(memoryview(answer))
            sizer.note_answer(piece.blocks, size, seconds)
            if size > TOO_MANY_BYTES and piece.blocks > 1:
                again += cut(piece, sizer.size)
            else:
                good.append((piece, answer))
    sizer.note_batch(len(reply.answers), reply.seconds)
    if failed and not good and len(failed) == len(reply.answers):
        raise failed[0]
    return good, again


def _parse_and_pack(group: Group, reply: Reply, good: list[Answered]) -> Batch | Parsed:
    """The rows, or only the logs where headers must tell the time of some first, or a second provider is asked."""
    parsed = [parse(reply, piece, raw, group.evidence) for piece, raw in good]
    wait = group.evidence == SECOND or any(without_time(logs) for logs, _ in parsed)
    return parsed if wait else to_batch(group, parsed, {})
