"""Scan: reading the final blocks of one chain in ranges, many at once.

Start with `Scanner.converge`; everything else here is one of its steps.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from indexer.chain.ranges import Range
from indexer.chain.sizing import TARGET_BYTES, TOO_MANY_BYTES, Sizer, cut
from indexer.errors import DatabaseDown, Inconsistent, TaskscanError, TooLarge, Transient
from indexer.ingest.budget import Budget
from indexer.ingest.decode import Decoder
from indexer.ingest.fetch import Reply, ask, parse, without_time
from indexer.ingest.progress import Progress
from indexer.ingest.todo import Portion, Todo
from indexer.rpc.identify import headers
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Log
from indexer.store import incidents, ledger
from indexer.store.fold import fold_chain
from indexer.store.ledger import Group, Read
from indexer.store.store import Store
from indexer.store.write import Batch, write

log = structlog.get_logger(__name__)

READERS = 4  # portions under way at once: one is fetched, one decoded, one written, one waits
IN_FLIGHT_BYTES = READERS * TARGET_BYTES  # of answers, between request and commit, whatever the number of chains
PATIENCE = 6  # failures in a row, with nothing read between them, after which a scan gives up
PAUSE = 0.5  # seconds, doubled by each further failure in a row


Answered = tuple[Range, msgspec.Raw]
Parsed = list[tuple[list[Log], Read]]


class Scanner:
    """Brings the tables of one chain up to a final block."""

    def __init__(self, chain_id: int, pool: Pool, store: Store, progress: Progress, budget: Budget) -> None:
        self._chain_id = chain_id
        self._pool = pool
        self._store = store
        self._budget = budget
        self._sizers: dict[str, Sizer] = {}
        self._failures = 0
        self._upto = 0
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self.progress = progress

    async def converge(self, upto: int) -> None:
        """Read every block up to the final block `upto` that the ledger does not cover yet.

        When it returns, each watched contract, those born on the way included, is covered from its first block
        to `upto`. It may be stopped and called again at any moment: a range counts as read only with its rows.
        Raises Transient when nobody answers for long, Terminal when repeating cannot help.
        """
        while True:
            await self._store.run(ledger.join_unread, self._chain_id)
            groups = await self._store.run(ledger.load_groups, self._chain_id)
            self.progress.plan(groups, upto)
            group = next((group for group in groups if group.gaps(upto)), None)
            if group is None:
                await self._store.run(fold_chain, self._chain_id)
                await self._store.run(ledger.merge_groups, self._chain_id, upto)
                return
            self._upto = upto
            await self._read_all(group, group.gaps(upto))

    def close(self) -> None:
        """End the decoding thread."""
        self._decoding.shutdown(wait=False, cancel_futures=True)

    async def _read_all(self, group: Group, gaps: Sequence[Range]) -> None:
        provider = self._pool.pick()
        todo = Todo(gaps, self._sizers.setdefault(provider.name, Sizer()))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(READERS):
                    tasks.create_task(self._reader(group, todo))
        except* TaskscanError as errors:
            raise errors.exceptions[0] from None

    async def _reader(self, group: Group, todo: Todo) -> None:
        while portion := await todo.take():
            again: Sequence[Range] = portion.ranges
            try:
                again = await self._read(group, todo, portion)
                self._failures = 0
            except (Transient, Inconsistent) as error:
                await self._endure(error, portion)
            finally:
                await todo.give_back(portion, again)

    async def _read(self, group: Group, todo: Todo, portion: Portion) -> list[Range]:
        """Fetch, decode and write one portion; what of it must be asked anew."""
        async with self._budget.hold(todo.sizer.expected_bytes(portion.blocks)) as becomes:
            batch, again = await self._fetch(group, todo, portion, becomes)
            if batch:
                becomes(batch.size_bytes)
                with self.progress.stage("write"):
                    await self._store.run(write, batch)
                self.progress.note(batch)
        return again

    async def _fetch(
        self, group: Group, todo: Todo, portion: Portion, becomes: Callable[[int], None]
    ) -> tuple[Batch | None, list[Range]]:
        """The rows of a portion, and what of it must be asked anew. The answer is let go before the rows are written;
        `becomes` is told its size."""
        provider = self._pool.pick()
        self.progress.provider = provider.name
        try:
            with self.progress.stage("fetch"):
                reply = await ask(provider, group, portion.ranges)
        except TooLarge as error:
            return None, _narrower(todo, portion, error, provider.max_batch)
        becomes(reply.size_bytes)
        good, again = _sort(todo, reply)
        if not good:
            return None, again
        with self.progress.stage("decode"):
            batch = await self._decode(provider, group, reply, good)
        batch.upto = self._upto
        return batch, again

    async def _decode(self, provider: Provider, group: Group, reply: Reply, good: list[Answered]) -> Batch:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._decoding, _parse_and_pack, group, reply, good)
        if isinstance(found, Batch):
            return found
        unknown = {number for logs, _ in found for number in without_time(logs).values()}
        known = await with_retries(lambda: headers(provider, sorted(unknown)))
        times = {header.hash: int(header.timestamp, 16) for header in known}
        return await loop.run_in_executor(self._decoding, _rows, group, found, times)

    async def _endure(self, error: Transient | Inconsistent, portion: Portion) -> None:
        """Wait before the next try, longer each time; raise the error when nothing has worked for long."""
        self._failures += 1
        subject = ", ".join(str(piece) for piece in portion.ranges[:3])
        log.warning("read failed", action="read_failed", blocks=subject, error=str(error), failures=self._failures)
        if isinstance(error, Inconsistent):
            kind = type(error).__name__
            await self._store.run(incidents.note, self._chain_id, kind, subject, str(error))
        if self._failures >= PATIENCE or isinstance(error, DatabaseDown):
            raise error
        await asyncio.sleep(PAUSE * 2**self._failures)


def _narrower(todo: Todo, portion: Portion, error: TooLarge, max_batch: int) -> list[Range]:
    """The portion again after a refusal of the batch as a whole."""
    if len(portion.ranges) == 1 and not error.batch:
        return todo.refuse(portion.ranges[0], error)
    todo.sizer.note_batch_refusal(max_batch if error.batch else 1 + len(portion.ranges) // 2)
    return list(portion.ranges)


def _sort(todo: Todo, reply: Reply) -> tuple[list[Answered], list[Range]]:
    """The answers that can be used, and the ranges to ask for anew; tells the sizer what there is to learn.

    Raises the first error when no range was answered and none was cut, and any error that repeating cannot mend.
    """
    good: list[Answered] = []
    again: list[Range] = []
    failed: list[TaskscanError] = []
    seconds = reply.seconds / len(reply.answers)
    for piece, answer in reply.answers:
        if isinstance(answer, TooLarge):
            again += todo.refuse(piece, answer)
        elif isinstance(answer, TaskscanError):
            if not isinstance(answer, Transient | Inconsistent):
                raise answer
            failed.append(answer)
            again.append(piece)
        else:
            size = len(memoryview(answer))
            todo.sizer.note_answer(piece.blocks, size, seconds)
            if size > TOO_MANY_BYTES and piece.blocks > 1:
                again += cut(piece, todo.sizer.size)
            else:
                good.append((piece, answer))
    todo.sizer.note_batch(len(reply.answers), reply.seconds)
    if failed and not good and len(failed) == len(reply.answers):
        raise failed[0]
    return good, again


def _parse_and_pack(group: Group, reply: Reply, good: list[Answered]) -> Batch | Parsed:
    """The rows, or only the logs where headers must tell the time of some first."""
    parsed = [parse(reply, piece, raw, group.evidence) for piece, raw in good]
    return parsed if any(without_time(logs) for logs, _ in parsed) else _rows(group, parsed, {})


def _rows(group: Group, parsed: Parsed, times: dict[str, int]) -> Batch:
    decoder = Decoder(group)
    for logs, read in parsed:
        decoder.add(logs, times, read.provider)
    return Batch(group, [read for _, read in parsed], decoder.rows, decoder.born)
