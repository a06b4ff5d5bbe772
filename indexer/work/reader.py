"""One chain as a worker reads it: the ranges of its jobs, by the scan that `run` uses, under the fence of each job."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
from msgspec import Meta, Struct

from indexer.chain.ranges import Range
from indexer.chain.window import Point
from indexer.config import Chain, Rpc
from indexer.errors import ConfigError, MalformedAnswer, NotThereYet
from indexer.ingest.budget import Budget
from indexer.ingest.head import ends, older_than
from indexer.ingest.job import connect
from indexer.ingest.progress import Progress
from indexer.ingest.scan import IN_FLIGHT_BYTES, Scanner
from indexer.ingest.upkeep import Upkeep
from indexer.rpc.identify import first_block
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Provider
from indexer.rpc.types import Header
from indexer.store import fences, sources
from indexer.store.fences import Claim
from indexer.store.store import Store

Block = Annotated[int, Meta(ge=0, le=2**62)]


class ScanParams(Struct, rename={"first": "from", "last": "to", "chain_id": "chainId"}):
    """Params of a `taskscan/scan-range` job: blocks `from` to `to` of one group of contracts on a chain."""

    chain_id: Annotated[int, Meta(gt=0, le=2**62)]
    group: Annotated[int, Meta(gt=0, le=2**62)]
    first: Block
    last: Block

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError("`from` lies above `to`")

    @property
    def blocks(self) -> Range:
        """The range."""
        return Range(self.first, self.last)


class ChainReader:
    """Reads ranges of one chain into the database. One at a time."""

    def __init__(self, chain: Chain, store: Store, connect: Callable[[Rpc], Provider] = connect) -> None:
        self.chain = chain
        self.progress = Progress(chain.name)
        self._plain = store
        self._providers = [connect(rpc) for rpc in chain.http]
        self._pool = Pool(self._providers)
        self._upkeep = Upkeep(chain.chain_id, self._pool, store, self.progress, None)
        self._claim: Claim | None = None
        self._began_at = 0
        self._scanner = Scanner(
            chain.chain_id, self._pool, store.guarded(self._check), self.progress, Budget(IN_FLIGHT_BYTES), folds=False
        )
        self._final: Point | None = None

    async def prepare(self) -> None:
        """Check that the providers serve the chain that the database was filled from. Raises TaskscanError."""
        await self._upkeep.begin(self._scanner)
        first = await first_block(self._pool.pick())
        self.progress.blooms = await self._plain.run(sources.require_chain, self.chain.chain_id, first)

    async def read(self, claim: Claim) -> dict[str, Any]:
        """Read the claim's range and write it; what was done, for the result of the job.

        Raises FenceLost as soon as a later execution has the range, NotThereYet for blocks that are not final.
        """
        await self._upkeep.poll()
        final = await self._final_above(claim.blocks.last)
        await self._plain.run(fences.take, claim)
        before = dataclasses.replace(self.progress, logs=self.progress.logs.copy(), busy=dict(self.progress.busy))
        self._claim, self._began_at = claim, self.progress.blocks_done
        await self._scanner.fill(claim.group_id, claim.blocks, final)
        return self._difference(before)

    @property
    def read_of_claim(self) -> tuple[int, int]:
        """Blocks read so far by the execution under way, and all blocks of its range."""
        if self._claim is None:
            return 0, 0
        return self.progress.blocks_done - self._began_at, self._claim.blocks.blocks

    async def close(self) -> None:
        """Let go of connections and threads."""
        self._scanner.close()
        await self._upkeep.end()
        for provider in self._providers:
            await provider.disconnect()

    def _check(self, connection: sa.Connection) -> None:
        if self._claim is not None:
            fences.check(connection, self._claim)

    async def _final_above(self, last: int) -> Point:
        """A final block at or above `last`. The queue's word is not enough: what it calls final might not be."""
        if self._final is None or self._final.number < last:
            self._final = await self._pool.run(_newest_final)
        if self._final.number < last:
            name = f"a final block {last:,}; the newest final one is {self._final.number:,}"
            raise NotThereYet(provider=self._pool.pick().name, block=name)
        return self._final

    def _difference(self, before: Progress) -> dict[str, Any]:
        now = self.progress
        return {
            "blocks": now.blocks_done - before.blocks_done,
            "logs": {name: n for name, n in (now.logs - before.logs).items() if n},
            "busy": {stage: round(t - before.busy.get(stage, 0.0), 3) for stage, t in now.busy.items()},
            "provider": now.provider,
        }


def params_of(tree: Any) -> ScanParams:
    """Params of a job. Raises MalformedAnswer where they are none that this worker understands."""
    try:
        return msgspec.convert(tree, ScanParams)
    except msgspec.ValidationError as error:
        raise MalformedAnswer(f"params of a job: {error}", provider="The queue") from None


def chain_of(chains: list[Chain], number: int) -> Chain:
    """The configured chain of that number, or a known one with its public endpoints. Raises ConfigError."""
    for chain in chains:
        if chain.chain_id == number:
            return chain
    try:
        return Chain(name=f"chain-{number}", chain_id=number)
    except ValueError:
        raise ConfigError(
            f"This worker knows no provider of chain {number}: give it a configuration with that chain in [[chains]]."
        ) from None


async def _newest_final(provider: Provider) -> Point:
    newest, final = await ends(provider)
    header: Header = final or await older_than(provider, newest)
    return Point(int(header.number, 16), header.raw_hash)
