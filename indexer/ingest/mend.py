"""Reading just those blocks again in which `taskscan verify` found something wrong."""

from collections.abc import Iterable, Sequence

from sqlalchemy.engine import Engine

from indexer.audit.findings import Finding
from indexer.chain.ranges import Range, merge
from indexer.config import Chain, Settings
from indexer.ingest import second
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.store import repair
from indexer.store.leases import Lease
from indexer.store.store import Store


async def mend(settings: Settings, engine: Engine, findings: Sequence[Finding]) -> dict[str, list[Range]]:
    """Read the blocks of `findings` again, replace what is stored of them, fold their entities anew: chain -> blocks.

    Where a second provider differs, a proof by headers decides what is true, for either may have lied. Waits while
    another process writes the chain. Raises TaskscanError.
    """
    store = Store(engine)
    done: dict[str, list[Range]] = {}
    try:
        for chain in settings.chains:
            if mine := [found for found in findings if found.chain == chain.name]:
                await _mend_chain(settings, chain, engine, store, mine)
                done[chain.name] = _ranges(mine)
    finally:
        store.close()
    return done


async def _mend_chain(
    settings: Settings, chain: Chain, engine: Engine, store: Store, findings: Sequence[Finding]
) -> None:  # fmt: skip
    wrong = _ranges(found for found in findings if found.check != second.NAME)
    differ = _ranges(found for found in findings if found.check == second.NAME)
    wanted = [source for source in settings.sources if source.chain == chain.name]
    job = ChainJob(chain, wanted, store, Budget(IN_FLIGHT_BYTES), lease=Lease(engine, chain.chain_id))
    try:
        await job.prepare()
        for piece in wrong:
            await store.run(repair.doubt_range, chain.chain_id, piece)
        await job.tick()
        await job.look_again(differ)
        await store.run(repair.fold_again, chain.chain_id, _ranges(findings)[0].first)
    finally:
        await job.close()


def _ranges(findings: Iterable[Finding]) -> list[Range]:
    return merge(Range(max(0, found.first_block), max(0, found.last_block)) for found in findings)
