"""Check 2: iExec deals leave no hole in their request orders.

Source: PoCo, contracts/facets/IexecPoco1Facet.sol: `dealid = keccak256(requestHash, botFirst)`, where `botFirst` is the
sum of the volumes of all earlier deals of the request order. A deal that is missing shifts the next one's botFirst.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from indexer.audit.findings import ROWS_AT_ONCE, Contract, Finding, Tally, contracts, hex_of
from indexer.networks.iexec.task_ids import bot_first
from schema import script

NAME = "deals"
NEAR = 20_000  # values of botFirst that are tried around the expected one, to say how many tasks are missing
FAR = 100_000  # and from 0 on, where earlier deals were not read


def check(connection: sa.Connection, tally: Tally) -> Iterator[Finding]:
    """Deals whose id does not follow from the deals before them in their request order."""
    known = contracts(connection)
    tally.counts["deals"] = 0
    query = sa.text(script("verify_deals.sql")).execution_options(yield_per=ROWS_AT_ONCE)
    for order, deals in groupby(connection.execute(query), lambda row: (row.chain_id, row.hub, row.request_hash)):
        hub = known[order[0], bytes(order[1])]
        tally.counts["request orders"] += 1
        yield from _order(hub, deals, tally)
        tally.tick(f"{hub.chain}: {tally.counts['deals']:,} deals")


def _order(hub: Contract, deals: Iterable[sa.Row[Any]], tally: Tally) -> Iterator[Finding]:
    """One request order: `taken` is what the deals before took of it, None where that is not known."""
    taken: int | None = 0 if hub.born else None
    before = hub.from_block
    for deal in deals:
        tally.counts["deals"] += 1
        first = _index(deal, taken)
        if message := _wrong(deal, first, taken, hub.born):
            yield Finding(hub.chain, NAME, hex_of(deal.dealid), before, deal.block_number, message)
        taken = None if first is None else first + int(deal.volume)
        before = deal.block_number


def _index(deal: sa.Row[Any], taken: int | None) -> int | None:
    """The botFirst that the deal's id proves: `taken`, or another one near it."""
    if taken is None:
        return bot_first(deal.dealid, deal.request_hash, 0, FAR)
    later = bot_first(deal.dealid, deal.request_hash, taken, NEAR)
    if later is not None or taken == 0:
        return later
    lowest = max(0, taken - NEAR)
    return bot_first(deal.dealid, deal.request_hash, lowest, taken - lowest)


def _wrong(deal: sa.Row[Any], first: int | None, taken: int | None, born: bool) -> str | None:
    order = f"request order {hex_of(deal.request_hash)}"
    if first is None and (born or taken is not None):
        return f"its id fits no botFirst near {taken or 0:,}: deals of {order} are missing before it, or it is forged"
    if first is None or taken is None:
        return None
    if first > taken:
        return f"its botFirst is {first:,}, but earlier deals took {taken:,} tasks of {order}: deals are missing"
    if first < taken:
        return f"its botFirst is {first:,}, but earlier deals took {taken:,} tasks of {order}: a volume is wrong"
    if deal.is_stored and deal.bot_first != first:
        return f"its id proves botFirst {first:,}, iexec.deals says {deal.bot_first}"
    return None
