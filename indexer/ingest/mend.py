"""Reading just those blocks again in which `taskscan verify` found something wrong."""

from collections.abc import Iterable, Sequence

from sqlalchemy.engine import Engine

from indexer.audit.findings import Finding
from indexer.chain.ranges import Range, merge
from indexer.config import Settings
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.store import repair
from indexer.store.leases import Lease
from indexer.store.store import Store


async def mend(settings: Settings, engine: Engine, findings: Sequence[Finding]) -> dict[str, list[Range]]:
    """Read the blocks of `findings` again, replace what is stored of them, fold their entities anew: chain -> blocks.

    Waits while another process writes the chain. Raises TaskscanError.
    """
    store = Store(engine)
    done: dict[str, list[Range]] = {}
    try:
        for chain in settings.chains:
            pieces = _ranges(found for found in findings if found.chain == chain.name)
            if not pieces:
                continue
            wanted = [source for source in settings.sources if source.chain == chain.name]
            job = ChainJob(chain, wanted, store, Budget(IN_FLIGHT_BYTES), lease=Lease(engine, chain.chain_id))
            try:
                await job.prepare()
                for piece in pieces:
                    await store.run(repair.doubt_range, chain.chain_id, piece)
                await job.tick()
                await store.run(repair.fold_again, chain.chain_id, pieces[0].first)
            finally:
                await job.close()
            done[chain.name] = pieces
    finally:
        store.close()
    return done


def _ranges(findings: Iterable[Finding]) -> list[Range]:
    return merge(Range(max(0, found.first_block), max(0, found.last_block)) for found in findings)
