"""`taskscan why`: how a row came to be what it is, or why it is not there."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from indexer.audit.absent import add_reasons
from indexer.audit.why import ROW, Answer, Event, Orphan, explain
from indexer.cli.common import ConfigOption, choose, opened, out
from indexer.cli.output import plain
from indexer.config import Chain
from indexer.errors import TaskscanError
from indexer.store.database import in_words

if TYPE_CHECKING:
    from indexer.rpc.receipts import Receipt

log = structlog.get_logger(__name__)

Subject = Annotated[
    str, typer.Argument(help="A task id, a transaction hash, the beginning of one, or table:block:log.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def why(subject: Subject, config: ConfigOption = None, as_json: Json = False) -> None:
    """Say which answer of which provider brought a row, what it became, or why it is not there (exit code 1).

    Example: taskscan why iexec.task_finalize:171:3
    """
    chosen = choose(config)
    chains = [chain for chain in chosen.settings.chains if chain.kind == "evm"]
    receipts: dict[int, Receipt | None] = {}

    def blocks(tx_hash: str) -> dict[int, int]:
        receipts.update(asyncio.run(_receipts(chains, tx_hash)))
        return {chain_id: int(found.block_number, 16) for chain_id, found in receipts.items() if found}

    with opened(chosen.settings) as engine, in_words(engine), engine.connect() as connection:
        # No transaction stays open while providers are asked.
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        answer = explain(connection, subject, blocks)
        if not answer.events:
            add_reasons(connection, answer, receipts)
    if as_json:
        print(json.dumps(_facts(answer), default=plain, indent=2))
    else:
        _print(answer)
    if not answer.events:
        raise typer.Exit(1)


async def _receipts(chains: Sequence[Chain], subject: str) -> dict[int, "Receipt | None"]:
    """Chain id -> where its providers say that the transaction stands. Chains that do not answer are left out."""
    if ROW.fullmatch(subject) or len(subject) != 66:
        return {}
    from indexer.ingest.job import connect  # web3 takes a second to import
    from indexer.rpc.pool import Pool
    from indexer.rpc.receipts import receipt

    found: dict[int, Receipt | None] = {}

    async def one(chain: Chain) -> None:
        pool = Pool([connect(rpc) for rpc in chain.http])
        try:
            found[chain.chain_id] = await pool.run(lambda provider: receipt(provider, subject))
        except TaskscanError as error:
            log.warning("not asked", action="why_not_asked", chain=chain.name, error=str(error))
        finally:
            await pool.close()

    await asyncio.gather(*map(one, chains))
    return found


def _facts(answer: Answer) -> dict[str, Any]:
    facts = asdict(answer)
    facts["orphaned"] = [orphan._asdict() for orphan in answer.orphaned]
    for event, given in zip(answer.events, facts["events"], strict=True):
        given["reads"] = [read._asdict() for read in event.reads]
        given["reorgs"] = [orphan._asdict() for orphan in event.reorgs]
    return facts


def _print(answer: Answer) -> None:
    out.print(answer.subject)
    for event in answer.events:
        _print_event(event)
    if answer.events and answer.orphaned:
        out.print("\nremoved by reorgs:")
        for orphan in answer.orphaned:
            _line("", _orphan(orphan))
    if answer.missing:
        out.print("\nnothing is stored under that name:")
        for reason in answer.missing:
            out.print(f"  {reason}")


def _print_event(event: Event) -> None:
    state = "final" if event.final else "pending: not final yet"
    out.print(f"\n{event.row} @ {event.chain}, {event.block_time:%Y-%m-%d %H:%M:%S}, {state}")
    _line("from", f"{event.contract} in transaction {event.tx}")
    _line("decoded by", event.decoded_by)
    for n, read in enumerate(event.reads):
        bound = f", bound to block {read.bound_block} {read.bound_hash}" if read.bound_block is not None else ""
        doubt = f", in doubt: {read.doubt}" if read.doubt else ""
        again = f", confirmed by {read.confirmed_by}" if read.confirmed_by else ""
        _line(
            "first read" if n == 0 else "read again",
            f"{read.provider} at {read.requested_at:%Y-%m-%d %H:%M:%S} in {read.elapsed_ms} ms: blocks "
            f"{read.from_block}..{read.to_block}, {read.logs} logs, {read.evidence}{bound}{doubt}{again}",
        )
    if not event.reads:
        _line("read", "the ledger's rows for this range are gone; its coverage says how well it is known")
    _line("complete", f"known by {event.evidence}" if event.evidence else "its block is not covered")
    into = ", ".join(event.folded_into) or "into nothing"
    _line("folded", into if event.folded else "not yet: a gap lies below it")
    for orphan in event.reorgs:
        _line("reorg", _orphan(orphan))


def _orphan(orphan: Orphan) -> str:
    believed = f", believed since {orphan.believed_at:%Y-%m-%d %H:%M:%S}" if orphan.believed_at else ""
    return (
        f"{orphan.stored_in}:{orphan.block}:{orphan.log_index} @ {orphan.chain} was removed at "
        f"{orphan.removed_at:%Y-%m-%d %H:%M:%S} by reorg {orphan.reorg_id} (back to block {orphan.ancestor}){believed}"
    )


def _line(name: str, text: str) -> None:
    out.print(f"  {name:>11}  {text}")
