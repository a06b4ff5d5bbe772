"""Schema `chain`: what is read, how far, from whom, how well known, and what went wrong."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from schema.base import metadata


def _chain_id(*, primary_key: bool = False) -> Column[int]:
    chain = ForeignKey("chain.chains.chain_id")
    return Column("chain_id", BigInteger, chain, nullable=False, primary_key=primary_key)


def _time(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


chains = Table(
    "chains",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True, comment="as configured; every view shows it"),
    Column("kind", Text, nullable=False),
    Column("first_block", BigInteger, nullable=False, comment="first block that its providers can serve"),
    Column("first_hash", LargeBinary, nullable=False, comment="its hash: the identity of the chain"),
    Column("clock", Text, nullable=False, comment="wall, or head: the time of the newest block"),
    Column("head_block", BigInteger, comment="newest block that a provider has told of"),
    _time("head_time", nullable=True),
    Column("final_block", BigInteger, comment="newest block that the chain calls final"),
    Column("blooms", Text, comment="truthful, or false: whether headers' blooms tell which logs a block has"),
    _time("seen_at", nullable=True),
    CheckConstraint("clock IN ('wall', 'head')", name="clock"),
    CheckConstraint("blooms IN ('truthful', 'false')", name="blooms"),
    schema="chain",
    comment="One row per chain. A provider or a database that disagrees about the first block is refused.",
)

groups = Table(
    "groups",
    metadata,
    Column("group_id", BigInteger, Identity(), primary_key=True),
    _chain_id(),
    Column("evidence", Text, nullable=False, comment="least level with which a range counts as covered"),
    Column("folded_to", BigInteger, comment="last block whose events are in the entity tables"),
    schema="chain",
    comment="Contracts that are read with one filter. Coverage is the group's.",
)

sources = Table(
    "sources",
    metadata,
    _chain_id(primary_key=True),
    Column("address", LargeBinary, primary_key=True),
    Column("network", Text, nullable=False),
    Column("role", Text, nullable=False, comment="engine, hub, workerpool …: selects the codecs"),
    Column("from_block", BigInteger, nullable=False, comment="first block that may hold an event of it"),
    Column("found_in", LargeBinary, comment="hash of the transaction that created it; NULL when configured"),
    Column("group_id", BigInteger, ForeignKey("chain.groups.group_id"), nullable=False),
    Column("active", Boolean, nullable=False, comment="false: no longer configured; its rows stay"),
    _time("added_at", now=True),
    Index(None, "group_id"),
    schema="chain",
    comment="One row per contract that is or was read.",
)

reads = Table(
    "reads",
    metadata,
    Column("read_id", BigInteger, Identity(), primary_key=True),
    _chain_id(),
    Column("group_id", BigInteger, nullable=False),
    Column("from_block", BigInteger, nullable=False),
    Column("to_block", BigInteger, nullable=False),
    Column("provider", Text, nullable=False, comment="host of the provider that answered"),
    _time("requested_at"),
    Column("elapsed_ms", Integer, nullable=False, comment="milliseconds from request to answer"),
    Column("answer_bytes", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="BLAKE2b-128 of the answer's bytes"),
    Column("logs", Integer, nullable=False, comment="logs in the answer"),
    Column("evidence", Text, nullable=False, comment="how the answer is known to be complete"),
    Column("bound_block", BigInteger, comment="block whose header came in the same batch"),
    Column("bound_hash", LargeBinary, comment="hash of that block: the answer is bound to its branch"),
    Column("doubt", Text, comment="why it must be read again: unfinal, distrusted; NULL: it need not"),
    Column("confirmed_by", Text, comment="host of the provider that gave the same when asked again"),
    _time("confirmed_at", nullable=True),
    Column(
        "written_at",
        DateTime(timezone=True),
        server_default=func.clock_timestamp(),
        comment="when its rows were written, to within their transaction; NULL: before that was noted",
    ),
    Column("joined_to", ARRAY(BigInteger), comment="to_block of each of the reads that were joined to this one"),
    Column("joined_at", ARRAY(DateTime(timezone=True)), comment="written_at of each of them"),
    Index(None, "chain_id", "from_block"),
    Index("ix_reads_doubt", "chain_id", "from_block", postgresql_where=text("doubt IS NOT NULL")),
    Index(None, "chain_id", "to_block"),
    schema="chain",
    comment="One row per range read, written in the same transaction as its rows.",
)

coverage = Table(
    "coverage",
    metadata,
    Column("group_id", BigInteger, primary_key=True, autoincrement=False),
    Column("from_block", BigInteger, primary_key=True, autoincrement=False),
    Column("to_block", BigInteger, nullable=False),
    Column("evidence", Text, nullable=False),
    _time("to_time", nullable=True),
    ForeignKeyConstraint(["group_id"], ["chain.groups.group_id"]),
    CheckConstraint("from_block <= to_block", name="not_empty"),
    schema="chain",
    comment="What counts as read: disjoint intervals of blocks per group. to_time: time of block to_block, if known.",
)

unknown_logs = Table(
    "unknown_logs",
    metadata,
    _chain_id(primary_key=True),
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("block_hash", LargeBinary, nullable=False),
    _time("block_time"),
    Column("tx_hash", LargeBinary, nullable=False),
    Column("tx_index", Integer, nullable=False),
    Column("address", LargeBinary, nullable=False),
    Column("topics", ARRAY(LargeBinary), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False, comment="why it is not in an event table"),
    schema="chain",
    comment="Logs of watched contracts that no codec knows or that do not fit their event's ABI, raw.",
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", BigInteger, Identity(), primary_key=True),
    _chain_id(),
    Column("kind", Text, nullable=False, comment="class of the error"),
    Column("subject", Text, nullable=False, comment="provider, range or contract concerned"),
    Column("message", Text, nullable=False, comment="what happened and what to do, in words"),
    Column("times", Integer, nullable=False, server_default="1", comment="how often, first_at to last_at"),
    Column("facts", JSONB),
    _time("first_at", now=True),
    _time("last_at", now=True),
    Index(None, "chain_id", "last_at"),
    schema="chain",
    comment="What went wrong, in words for an operator. Written in transactions of their own.",
)

blocks = Table(
    "blocks",
    metadata,
    _chain_id(primary_key=True),
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("block_hash", LargeBinary, nullable=False),
    Column("parent_hash", LargeBinary, nullable=False),
    _time("block_time"),
    schema="chain",
    comment="Blocks that are not final yet as they were when their logs were read. Sparse on fast chains.",
)

reorgs = Table(
    "reorgs",
    metadata,
    Column("reorg_id", BigInteger, Identity(), primary_key=True),
    _chain_id(),
    _time("at", now=True),
    Column("ancestor", BigInteger, nullable=False, comment="newest block that both branches have"),
    Column("depth", BigInteger, nullable=False, comment="blocks of the old branch above the ancestor"),
    Column("old_head_hash", LargeBinary, comment="newest stored block of the old branch"),
    Column("new_head_hash", LargeBinary, comment="newest known block of the new branch"),
    Column("rows_removed", BigInteger, nullable=False, comment="logs of the old branch"),
    Column("rows_added", BigInteger, comment="logs of the new branch up to the old head; NULL until they are read"),
    Column("duration_ms", Integer, nullable=False, comment="milliseconds that the rollback took"),
    Index(None, "chain_id", "at"),
    schema="chain",
    comment="One row per rollback, written in its transaction.",
)

orphaned_logs = Table(
    "orphaned_logs",
    metadata,
    Column("reorg_id", BigInteger, ForeignKey("chain.reorgs.reorg_id"), primary_key=True, autoincrement=False),
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("block_hash", LargeBinary, nullable=False),
    _time("block_time"),
    Column("tx_hash", LargeBinary, nullable=False),
    Column("tx_index", Integer, nullable=False),
    Column("address", LargeBinary, nullable=False),
    Column("stored_in", Text, nullable=False, comment="schema.table that held it"),
    Column("arguments", JSONB, nullable=False, comment="its other columns; bytes as hex text"),
    _time("believed_at", nullable=True),
    _time("removed_at", now=True),
    Index(None, "tx_hash"),
    schema="chain",
    comment="Logs that a reorg removed. believed_at: when the log was written, if known.",
)

orphaned_ids = Table(
    "orphaned_ids",
    metadata,
    Column("orphan_id", BigInteger, Identity(), primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("stored_in", Text, nullable=False, comment="schema.table that held it"),
    Column("block_number", BigInteger, nullable=False, comment="block of the event that it was made from"),
    Column("made", JSONB, nullable=False, comment="the row"),
    Column("removed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Index(None, "chain_id", "removed_at"),
    schema="chain",
    comment="Ids that Python had made from events that a reorg removed.",
)

providers = Table(
    "providers",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("provider", Text, primary_key=True, comment="host and port, never the URL"),
    Column("calls", BigInteger, nullable=False, server_default="0", comment="JSON-RPC calls, each of a batch"),
    Column("errors", JSONB, nullable=False, server_default="{}", comment="kind of error -> how often"),
    Column("answer_bytes", BigInteger, nullable=False, server_default="0"),
    Column("latency_mean_ms", Double, comment="milliseconds per post, mean of the last 200"),
    Column("latency_p95_ms", Double, comment="milliseconds per post, 95th percentile of the last 200"),
    _time("last_ok_at", nullable=True),
    Column("last_error", Text, comment="in words, without secrets"),
    _time("last_error_at", nullable=True),
    _time("distrusted_at", nullable=True),
    Column("distrust_reason", Text, comment="what it was caught at; NULL: it is trusted"),
    Column("logs_compared", BigInteger, nullable=False, server_default="0", comment="true logs looked for again"),
    Column("logs_omitted", BigInteger, nullable=False, server_default="0", comment="of these, not in its first answer"),
    Column("omission_bound", Double, comment="95 % upper bound of the share omitted (exact binomial, one-sided)"),
    Column("profile", JSONB, comment="what `taskscan doctor` found; the scanner starts from it"),
    _time("profiled_at", nullable=True),
    schema="chain",
    comment="Scoreboard: one row per chain and provider that was ever asked. Counts are of all time.",
)

leases = Table(
    "leases",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, comment="grows with each holder; a writer of an older one is refused"),
    Column("holder", Text, nullable=False, comment="host and process that writes this chain, or wrote it last"),
    _time("since", now=True),
    schema="chain",
    comment="Which process may write a chain. An advisory lock says whether it still lives.",
)
