"""Check 3: iExec accounts hold what the events moved, and never less than nothing.

Source: PoCo, contracts/facets/IexecEscrowNativeFacet.sol and IexecERC20Core.sol, verified against real contracts:
a stake is the sum of Transfer in minus out; what is locked is Lock minus Unlock minus Seize.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from indexer.audit.findings import ROWS_AT_ONCE, Contract, Finding, Tally, contracts, hex_of
from schema import script
from schema.iexec_entities import accounts

NAME = "accounts"


def check(connection: sa.Connection, tally: Tally) -> Iterator[Finding]:
    """Accounts that differ from the sums of their events, or whose sums are below zero at some block."""
    known = contracts(connection)
    tally.counts["accounts"] = connection.scalar(sa.select(sa.func.count()).select_from(accounts)) or 0
    tally.tick("adding up all changes of stakes and locks")
    query = sa.text(script("verify_accounts.sql")).execution_options(yield_per=ROWS_AT_ONCE)
    for row in connection.execute(query):
        hub = known[row.chain_id, bytes(row.hub)]
        if row.differs:
            yield _finding(hub, row, row.last_block, _difference(row))
        if row.negative_from is not None and hub.born:
            words = (
                f"its events make stake or locked negative at block {row.negative_from:,}: an earlier one is missing"
            )
            yield _finding(hub, row, row.negative_from, words)


def _finding(hub: Contract, row: sa.Row[Any], last: int, words: str) -> Finding:
    return Finding(hub.chain, NAME, hex_of(row.owner), hub.from_block, last, words)


def _difference(row: sa.Row[Any]) -> str:
    if row.stored_stake is None:
        return "its events are there, its row in iexec.accounts is missing"
    if row.stake is None:
        return "it has a row in iexec.accounts, but no event"
    stored = f"stake {row.stored_stake:,} and locked {row.stored_locked:,}"
    return f"iexec.accounts says {stored}, its events give {row.stake:,} and {row.locked:,}"
