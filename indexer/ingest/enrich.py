"""Enrichment: the facts that no event carries, asked for in batches after the folds, outside any transaction.

Questions are pinned to the newest folded block; where a node keeps no state of it any more, to the newest block that
the chain has told of. Facts that never change are as true there.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

import structlog

from indexer.errors import Inconsistent, RpcRefused
from indexer.ingest.progress import Progress
from indexer.networks.arbius.facts import ASKERS as ARBIUS
from indexer.networks.arbius.silent_facts import ASKERS as SILENT
from indexer.networks.facts import Asker, Facts, Key, Unreadable
from indexer.networks.iexec.facts import ASKERS as IEXEC
from indexer.rpc.multicall import View, has_multicall, views
from indexer.rpc.pool import Pool
from indexer.rpc.transactions import Transaction, transactions
from indexer.rpc.transport import Provider
from indexer.store import facts as store_facts
from indexer.store.facts import Asked
from indexer.store.store import Store
from schema.facts import KINDS, Kind

AT_ONCE = 1_000  # keys of one kind in a step
TRIES = 4

ASKERS: dict[str, dict[str, Asker]] = {"arbius": ARBIUS | SILENT, "iexec": IEXEC}

Answers = list[bytes | None]

log = structlog.get_logger(__name__)
_aggregates: WeakKeyDictionary[Pool, bool] = WeakKeyDictionary()


async def enrich(chain_id: int, pool: Pool, store: Store, progress: Progress) -> int:
    """One step: ask for up to 1,000 keys of each kind of fact, and store what is learned.

    Returns how many keys are known to wait, at least 1 while there may be more; at 0 every fact is there or was asked
    for in vain and rests before the next try. Raises TaskscanError where provider or database fail.
    """
    kinds = [kind for network in progress.networks for kind in KINDS.get(network, ())]
    with progress.stage("enrich"):
        asked = await store.run(store_facts.due, chain_id, kinds, AT_ONCE)
        if asked is None:
            return 0
        left = 0
        if any(keys for _, keys in asked.parts):
            found = await _insist(lambda: pool.run(lambda provider: _ask(pool, provider, asked)))
            left = await store.run(store_facts.keep, chain_id, asked, found)
            log.debug("enriched", action="enriched", chain_id=chain_id, block=asked.at_block, **_counts(asked, found))
        left += any(len(keys) == AT_ONCE for _, keys in asked.parts)
        if not left and "iexec" in progress.networks:
            left = await store.run(store_facts.copy_terms, chain_id)
    return left


async def enrich_all(chain_id: int, pool: Pool, store: Store, progress: Progress) -> None:
    """`enrich` until nothing waits. Raises TaskscanError."""
    while await enrich(chain_id, pool, store, progress):
        pass


async def _insist(ask: Callable[[], Awaitable[list[list[Facts | None]]]]) -> list[list[Facts | None]]:
    """`ask`, and again where a provider contradicted itself: the next answer may come from another one."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(Inconsistent):
            return await ask()
    return await ask()


class _Part(NamedTuple):
    """One kind's keys, the transactions that made them, and by position what calldata alone proves."""

    kind: Kind
    asker: Asker
    keys: Sequence[Key]
    txs: Mapping[bytes, Transaction]
    proved: Mapping[int, Facts]

    @property
    def open(self) -> list[int]:
        """Positions of the keys that a contract has to be asked about."""
        return [n for n in range(len(self.keys)) if n not in self.proved]


async def _ask(pool: Pool, provider: Provider, asked: Asked) -> list[list[Facts | None]]:
    """Facts of each key of each part, None where none were learned. All contracts are asked together."""
    parts = [await _part(pool, provider, kind, keys) for kind, keys in asked.parts]
    questions = [part.asker.views(part.keys[n]) for part in parts for n in part.open]
    block, flat = await _pinned(pool, provider, [view for views_of_key in questions for view in views_of_key], asked)
    told = iter(flat)
    answers = iter([[next(told) for _ in views_of_key] for views_of_key in questions])
    return [_facts(part, [next(answers) for _ in part.open], asked, block) for part in parts]


async def _part(pool: Pool, provider: Provider, kind: Kind, keys: Sequence[Key]) -> _Part:
    about = kind.facts if kind.silent else kind.entity
    asker = ASKERS[about.schema or ""][about.name]
    if asker.from_calldata is None or not keys:
        return _Part(kind, asker, keys, {}, {})
    places = {(key["block"], key["tx"]) for key in keys if key["tx"] is not None}
    try:
        txs = await transactions(pool, provider, places)
    except RpcRefused as error:  # a node without old transactions: getters tell most of it
        log.debug("no calldata", action="no_calldata", provider=provider.name, error=str(error))
        txs = {}
    return _Part(kind, asker, keys, txs, asker.from_calldata(keys, txs))


def _facts(part: _Part, answers: Sequence[Answers], asked: Asked, block: int) -> list[Facts | None]:
    found: list[Facts | None] = [None] * len(part.keys)
    for n, facts in part.proved.items():
        found[n] = facts | {"enriched_from": "calldata"}
    for n, told in zip(part.open, answers, strict=True):
        if facts_of_key := _read(part, part.keys[n], told):
            found[n] = facts_of_key | _source(part.kind, asked, block, facts_of_key)
    return found


def _read(part: _Part, key: Key, answers: Answers) -> Facts | None:
    try:
        return part.asker.read(key, answers, part.txs.get(key["tx"]))
    except Unreadable:
        return None


def _source(kind: Kind, asked: Asked, block: int, facts: Facts) -> Facts:
    """Where the facts came from; an asker names calldata where it took part."""
    said = str(facts.get("enriched_from", "eth_call"))
    told: Facts = {"enriched_from": f"{said}@{block}" if said.endswith("eth_call") else said}
    if kind.moves:
        told |= {"block_number": block, "reorg_id": asked.reorg_id}
        told |= {"asked_at": datetime.now(UTC)} if kind.silent else {"stale": False}
    return told


async def _pinned(pool: Pool, provider: Provider, flat: list[View], asked: Asked) -> tuple[int, Answers]:
    """The block that was asked at, and the answers in order."""
    for block in dict.fromkeys((asked.at_block, asked.head)) if flat else ():
        try:
            return block, await views(provider, flat, hex(block), await _aggregating(pool, provider, block))
        except RpcRefused as error:
            log.debug("no state", action="no_state", provider=provider.name, block=block, error=str(error))
    return asked.head, [None] * len(flat)


async def _aggregating(pool: Pool, provider: Provider, block: int) -> bool:
    """Whether the chain has Multicall3: asked once per run."""
    if pool not in _aggregates:
        _aggregates[pool] = await has_multicall(provider, hex(block))
    return _aggregates[pool]


def _counts(asked: Asked, found: Sequence[Sequence[Facts | None]]) -> dict[str, str]:
    """Per table of facts: how many were learned of how many."""
    return {
        str(kind.facts): f"{sum(facts is not None for facts in told)} of {len(keys)}"
        for (kind, keys), told in zip(asked.parts, found, strict=True)
        if keys
    }
