"""Schema `iexec`: what the folds need beside events, made in Python or kept as sums; how its tables are declared."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, LargeBinary, Numeric, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from schema.base import metadata
from schema.entities import hex_text

_TYPES: dict[str, TypeEngine[Any]] = {
    "bytea": LargeBinary(),
    "bytea[]": ARRAY(LargeBinary()),
    "bool": Boolean(),
    "int4": Integer(),
    "int8": BigInteger(),
    "jsonb": JSONB(),
    "uint256": Numeric(78, 0),
    "numeric": Numeric(),
    "text": Text(),
    "time": DateTime(timezone=True),
}


def table(name: str, comment: str, key: str, columns: str) -> Table:
    """A table whose key is `chain_id` and the columns of `key`; one line per column: name, type, comment.

    A type that ends in `!` is never NULL. Sums are `numeric` without bound: a forged log must not stop a fold.
    """
    made = [Column("chain_id", BigInteger, primary_key=True, autoincrement=False)]
    for line in filter(None, map(str.strip, columns.splitlines())):
        column, kind, *words = line.split(None, 2)
        in_key = column in key.split()
        never_null = in_key or kind.endswith("!")
        about = " ".join(words) or None
        made.append(
            Column(
                column,
                _TYPES[kind.rstrip("!")],
                primary_key=in_key,
                nullable=not never_null,
                autoincrement=False,
                comment=about,
            )
        )
    return Table(name, metadata, *made, schema="iexec", comment=comment)


contracts = table(
    "contracts",
    "Which hub a contract that is read belongs to. Made before folding; a contract of an unknown hub is not here.",
    "address",
    """
    address bytea
    role text! as in chain.sources
    hub bytea! the hub; of the clerk of v3, the hub that keeps its tasks
    """,
)

deal_starts = table(
    "deal_starts",
    "Where the tasks of a deal begin in its request order, proved by the deal's id, in Python.",
    "address dealid",
    """
    address bytea
    dealid bytea
    request_hash bytea!
    bot_first uint256 keccak256(request_hash, bot_first) is the deal id; NULL: none was found that fits
    volume uint256! tasks
    block_number int8! block of the deal
    event_index int4! its log in the block
    """,
)

task_ids = table(
    "task_ids",
    "Ids of the tasks of deals: keccak256(dealid, idx), made in Python, at most 10,000 per deal.",
    "address taskid",
    """
    address bytea
    taskid bytea
    dealid bytea!
    idx uint256! position: from bot_first in classic deals, from 0 in boost deals
    listed_from int8! block of the deal; of the initialization where that made the task known
    """,
)

broadcasts = table(
    "broadcasts",
    "EIP-712 hashes of the orders that Broadcast… events carry, made in Python.",
    "block_number event_index",
    """
    block_number int8
    event_index int4 the log in the block
    address bytea! hub
    hash bytea! hash of the order under the domain iExecODB 5.0.0 of this hub
    """,
)

marks = table(
    "marks",
    "Blocks at which the sums of all accounts, workers and orders stand in the …_marks tables. Only a cache: without"
    " it the folds add up all events.",
    "address block_number",
    """
    address bytea
    block_number int8
    """,
)

account_marks = table(
    "account_marks",
    "Accounts as of a block, so that a fold adds up later events only. A row holds until the account's next row.",
    "address owner block_number",
    """
    address bytea
    owner bytea
    block_number int8
    stake numeric! nRLC
    locked numeric! nRLC
    last_block int8! last event of the account
    """,
)

worker_marks = table(
    "worker_marks",
    "Workers as of a block, so that a fold adds up later events only.",
    "address worker block_number",
    """
    address bytea
    worker bytea
    block_number int8
    score numeric!
    accurate int8!
    faulty int8!
    last_block int8!
    """,
)

order_marks = table(
    "order_marks",
    "What deals took of an order as of a block, so that a fold adds up later events only.",
    "address hash block_number",
    """
    address bytea
    hash bytea
    block_number int8
    kind text!
    matched_volume numeric! tasks
    deals int8!
    last_block int8!
    """,
)

gifts = table(
    "gifts",
    "What accounts gave to the hub: Transfers to it without a Lock, kept by triggers.",
    "block_number log_index",
    """
    block_number int8
    log_index int4
    address bytea! hub
    block_time time!
    from bytea!
    value uint256! nRLC
    """,
)

_LARGE = text("volume > 10000")  # deals whose tasks are not all listed
Index(None, deal_starts.c.request_hash, deal_starts.c.block_number)
Index(None, deal_starts.c.chain_id, deal_starts.c.block_number)
Index("ix_deal_starts_large", deal_starts.c.chain_id, deal_starts.c.block_number, postgresql_where=_LARGE)
Index(None, task_ids.c.dealid, task_ids.c.idx)
Index(None, task_ids.c.chain_id, task_ids.c.listed_from)
Index(None, broadcasts.c.hash)
Index(None, gifts.c.block_time)
Index(None, gifts.c.value)
Index("ix_gifts_from_hex", hex_text(gifts.c["from"]), gifts.c.block_time)
