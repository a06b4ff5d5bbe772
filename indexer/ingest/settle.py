"""Settle: a second look. What was read before it was final is read again once it is, a random sample of everything
else, too; and all that rests on the word of a provider that was caught.

A difference is settled by a proof where the chain's blooms are truthful: it tells who left logs out and who made some
up. Elsewhere the block's hash on the final chain decides: a log that one answer holds with the right hash counts as
there, so that the other answer left it out; one with another hash does not exist.
"""

import random
from collections.abc import Iterable
from contextlib import suppress

import structlog

from indexer.chain.ranges import Range, subtract
from indexer.chain.sizing import cut
from indexer.chain.window import Point
from indexer.errors import Inconsistent, TaskscanError, Transient
from indexer.ingest.agree import SECOND
from indexer.ingest.by_hash import read_final
from indexer.ingest.fetch import Parsed
from indexer.ingest.linked import built_upon
from indexer.ingest.progress import Progress
from indexer.ingest.proof import proven
from indexer.ingest.scan import Scanner
from indexer.rpc.identify import header_at, headers
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.store import incidents, ledger, providers, repair
from indexer.store.copy import identity
from indexer.store.ledger import Group
from indexer.store.repair import Difference, Doubt
from indexer.store.store import Store
from indexer.store.write import Batch

log = structlog.get_logger(__name__)

MOST_BLOCKS = 1000  # in one second look
AT_ONCE = 20  # second looks in one poll; the next poll goes on
SHARE = 0.01  # of all calls: what random second looks may cost
CALLS = 2  # of one second look: logs and header
AFRESH = ("wrong", "differs")  # whatever is stored of such blocks is written anew
TRIES = 4  # answers of one unproven provider that are joined


class Settler:
    """The second looks of one chain."""

    def __init__(
        self, chain_id: int, name: str, pool: Pool, store: Store, progress: Progress, scanner: Scanner
    ) -> None:  # fmt: skip
        self._chain_id, self._name, self._pool, self._store = chain_id, name, pool, store
        self._progress, self._scanner = progress, scanner
        self._sampled = 0
        self._caught: set[str] = set()
        self._final = Point(0, b"")

    async def settle(self, final: Point, *, all_of_it: bool = False) -> None:
        """Look twice at what became final since the last call, and at a sample within 1 % of the calls.

        `final`: the final block. With `all_of_it` go on until nothing is in doubt. An error of a provider leaves the
        rest for the next call.
        """
        self._final = final
        await self._distrust_caught()
        before: list[Doubt] = []
        for _ in range(1000 if all_of_it else 1):
            doubts = await self._store.run(repair.doubted, self._chain_id, MOST_BLOCKS)
            for doubt in doubts[: None if all_of_it else AT_ONCE]:
                await with_retries(lambda doubt=doubt: self._look_at(doubt), errors=(Transient, Inconsistent))  # type: ignore[misc]
            await self._distrust_caught()
            if not doubts or doubts == before:
                break
            before = doubts
        await self._sample()

    async def _sample(self) -> None:
        calls = sum(provider.calls for provider in self._pool.providers)
        if (self._sampled + 1) * CALLS > SHARE * calls:
            return
        doubt = await self._store.run(repair.some_read, self._chain_id, random.random())
        self._sampled += 1
        if doubt:
            await self._look_at(doubt)

    async def look_at(self, piece: Range) -> None:
        """Settle the blocks `piece`, about which two answers differ, by a proof, for every group that has read them."""
        for group in await self._store.run(ledger.load_groups, self._chain_id):
            for part in cut(piece, MOST_BLOCKS):
                if not subtract([part], group.covered):
                    told = await self._store.run(repair.providers_of, group, part)
                    await self._look_at(Doubt(group.group_id, part, told, "differs"))

    async def _look_at(self, doubt: Doubt) -> None:
        groups = await self._store.run(ledger.load_groups, self._chain_id)
        if not groups:
            return
        group = next((group for group in groups if group.group_id == doubt.group_id), groups[0])
        wants_two = group.evidence == SECOND
        other = self._pool.another(doubt.providers, trusted=not wants_two)
        if wants_two and other is None and doubt.why == "unfinal":
            return  # it stays in doubt until there is one
        provider = other or self._pool.pick()
        proof = doubt.why == "differs" or (doubt.why == "distrusted" and not other and bool(self._progress.blooms))
        batch = await self._again(provider, group, doubt.range, proof=proof, alone=other is None)
        if not proof and self._progress.blooms and await self._differs(batch, doubt):
            batch, said, proof = await self._again(provider, group, doubt.range, proof=True, alone=False), batch, True
            await self._blame(provider.name, said, batch, doubt)
            doubt = doubt._replace(why="differs")
        if (differs := await self._compare(provider, batch, doubt)) and wants_two and not proof:
            await self._look_at(doubt._replace(why="differs"))
            return
        level = batch.reads[0].evidence if proof else "second-provider" if other and not differs else None
        by = "proof" if proof else provider.name
        await self._store.run(repair.confirm, group, doubt, by, level)

    async def _compare(self, provider: Provider, batch: Batch, doubt: Doubt) -> bool:
        """Repair what the second look `batch` shows to be wrong; whether it showed anything."""
        difference = await self._store.run(repair.compare, batch, doubt.range)
        if doubt.why in AFRESH:
            afresh = await self._store.run(repair.everything, batch, doubt.range)
            if afresh.blocks:
                await self._store.run(repair.repair, batch, afresh)
            if difference.blocks and doubt.why == "differs":
                culprits = await self._store.run(repair.providers_of, batch.group, difference.blocks)
                await self._report(culprits, difference)
        elif difference.blocks:
            await self._judge(provider, batch, doubt, difference)
        elif doubt.why != "distrusted":
            await self._count(doubt.providers, difference.compared, 0)
        return bool(difference.blocks)

    async def _differs(self, batch: Batch, doubt: Doubt) -> bool:
        """Whether `batch` and the tables hold other logs. Only a proof tells who left some out and who made some up."""
        return bool((await self._store.run(repair.compare, batch, doubt.range)).blocks)

    async def _blame(self, name: str, said: Batch, true: Batch, doubt: Doubt) -> None:
        """Distrust `name` for what the proof `true` shows to be wrong in what it `said` at the second look."""
        told, there = ({identity(row) for rows in batch.rows.values() for row in rows} for batch in (said, true))
        if left_out := len(there - told):
            await self._caught_at(name, left_out, f"the blocks {doubt.range}")
        if invented := len(told - there):
            await self._distrust(name, f"it told of {invented} logs of the blocks {doubt.range} that do not exist")

    async def _again(self, provider: Provider, group: Group, piece: Range, *, proof: bool, alone: bool) -> Batch:
        if proof:
            parsed = await proven(self._pool, provider, group, piece, self._final, self._progress)
        else:
            parsed = await self._ranged(provider, group, piece)
        batch = await self._scanner.decode(provider, group, parsed, {})
        for _ in range(TRIES if alone and not proof and provider.name in self._caught else 0):
            more = await self._scanner.decode(provider, group, await self._ranged(provider, group, piece), {})
            _join(batch, more)
        return batch

    async def _ranged(self, provider: Provider, group: Group, piece: Range) -> Parsed:
        truthful = bool(self._progress.blooms)
        return await read_final(self._pool, provider, group, [piece], self._final, truthful=truthful)

    async def _judge(self, provider: Provider, batch: Batch, doubt: Doubt, difference: Difference) -> None:
        """Who was wrong? Repair what is stored, and distrust whoever left logs out."""
        true = await self._true_hashes(self._judge_by(provider, doubt), difference)
        missing = {
            target: good
            for target, rows in difference.missing.items()
            if (good := [row for row in rows if true[identity(row)[0]] == identity(row)[2]])
        }
        gone = {
            table: bad
            for table, places in difference.extra.items()
            if (bad := [place for place in places if true[place[0]] != place[2]])
        }
        left_out = sum(map(len, difference.extra.values())) - sum(map(len, gone.values()))
        wrong = difference._replace(missing=missing, extra=gone)
        if wrong.blocks:
            culprits = await self._store.run(repair.providers_of, batch.group, wrong.blocks)
            await self._store.run(repair.repair, batch, wrong)
            await self._report(culprits, wrong)
        if left_out:
            await self._caught_at(provider.name, left_out, f"the blocks {doubt.range}")
        if invented := sum(map(len, difference.missing.values())) - sum(map(len, missing.values())):
            await self._distrust(provider.name, f"it told of {invented} logs of blocks that the chain never had")
        if invented and self._pool.another([provider.name]):
            raise Inconsistent(f"logs of another branch in the final blocks {doubt.range}", provider=provider.name)

    async def _true_hashes(self, judge: Provider, difference: Difference) -> dict[int, bytes]:
        """Hash of each block of `difference` on the final chain. Where that makes a log untrue, the blocks on top of it
        must bear it out: a judge can be wrong, too."""
        true = {int(header.number, 16): header.raw_hash for header in await headers(judge, difference.blocks)}
        for number in sorted({number for number, _, hash_ in difference.places if true[number] != hash_}):
            true[number] = (await built_upon(judge, number, self._final.number, self._final)).raw_hash
        return true

    def _judge_by(self, provider: Provider, doubt: Doubt) -> Provider:
        """Who tells the hashes: a third one where there is one."""
        return self._pool.another({*doubt.providers, provider.name}) or provider

    async def _report(self, culprits: Iterable[str], wrong: Difference) -> None:
        added, removed = (sum(map(len, part.values())) for part in (wrong.missing, wrong.extra))
        self._progress.repaired += added + removed
        where = f"blocks {wrong.blocks[0]} to {wrong.blocks[-1]}"
        message = (
            f"A second look at {where} found {added} logs that were missing and {removed} that did not exist. Repaired."
        )
        await self._store.run(incidents.note, self._chain_id, "Repaired", where, message)
        log.warning("repaired", action="repaired", chain=self._name, added=added, removed=removed, blocks=where)
        for culprit in culprits:
            if added:
                await self._caught_at(culprit, added, where)
            if removed:
                await self._distrust(culprit, f"it told of {removed} logs of {where} that do not exist")

    async def _count(self, names: Iterable[str], compared: int, omitted: int) -> None:
        for name in names:
            await self._store.run(providers.note_reread, self._chain_id, name, compared, omitted)

    async def _caught_at(self, name: str, omitted: int, where: str) -> None:
        await self._count([name], omitted, omitted)
        await self._distrust(name, f"it left out {omitted} logs of {where}")

    async def _distrust_caught(self) -> None:
        """Whom the head, a proof or a scan has caught since."""
        for name, omitted in list(self._progress.omissions.items()):
            del self._progress.omissions[name]
            await self._caught_at(name, omitted, "blocks at the head or in a proof")
        while self._progress.lies:
            await self._distrust(*self._progress.lies.popitem())
        while self._progress.suspects:
            await self._examine(self._progress.suspects.pop())

    async def _examine(self, name: str) -> None:
        """Distrust `name` where it does contradict the final block, and another one does not."""
        suspect = next((one for one in self._pool.providers if one.name == name), None)
        other, final = self._pool.another([name]), self._final
        if not suspect or not other:
            return
        with suppress(TaskscanError):  # who cannot be asked now may be caught another time
            theirs, ours = await header_at(suspect, final.number), await header_at(other, final.number)
            if theirs.hash != ours.hash == "0x" + final.hash.hex():
                await self._distrust(name, f"its block {final.number}, a final one, is not that of {other.name}")

    async def _distrust(self, name: str, reason: str) -> None:
        self._pool.distrust(name, reason)
        await self._store.run(providers.distrust, self._chain_id, name, reason)
        doubted = await self._store.run(repair.distrust_reads, self._chain_id, name)
        if name not in self._caught:
            self._caught.add(name)
            message = f"{name} is not trusted any more: {reason}. {doubted} of its ranges are read again."
            await self._store.run(incidents.note, self._chain_id, "Distrusted", name, message)
            log.warning("distrusted", action="distrusted", chain=self._name, provider=name, reason=reason)


def _join(batch: Batch, more: Batch) -> None:
    """Add to `batch` the rows that only `more` has."""
    for target, rows in more.rows.items():
        known = {identity(row) for row in batch.rows.get(target, ())}
        batch.rows.setdefault(target, []).extend(row for row in rows if identity(row) not in known)
