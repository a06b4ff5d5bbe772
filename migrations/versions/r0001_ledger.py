"""The ledger: chains, sources, groups, reads, coverage, unknown logs, incidents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _chain(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["chain_id"], ["chain.chains.chain_id"], name=f"fk_{table}_chain_id")


def _group(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["group_id"], ["chain.groups.group_id"], name=f"fk_{table}_group_id")


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, sa.Identity(), nullable=False)


def upgrade() -> None:
    _create_what_is_read()
    _create_how_far()
    _create_what_went_wrong()


def downgrade() -> None:
    for table in ("incidents", "unknown_logs", "coverage", "reads", "sources", "groups", "chains"):
        op.drop_table(table, schema="chain")


def _create_what_is_read() -> None:
    op.create_table(
        "chains",
        sa.Column("chain_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("first_block", sa.BigInteger, nullable=False),
        sa.Column("first_hash", sa.LargeBinary, nullable=False),
        sa.Column("clock", sa.Text, nullable=False),
        sa.Column("head_block", sa.BigInteger),
        _time("head_time", nullable=True),
        sa.Column("final_block", sa.BigInteger),
        _time("seen_at", nullable=True),
        sa.PrimaryKeyConstraint("chain_id", name="pk_chains"),
        sa.UniqueConstraint("name", name="uq_chains_name"),
        sa.CheckConstraint("clock IN ('wall', 'head')", name=op.f("ck_chains_clock")),
        schema="chain",
    )
    op.create_table(
        "groups",
        _id("group_id"),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("folded_to", sa.BigInteger),
        sa.PrimaryKeyConstraint("group_id", name="pk_groups"),
        _chain("groups"),
        schema="chain",
    )
    op.create_table(
        "sources",
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("from_block", sa.BigInteger, nullable=False),
        sa.Column("found_in", sa.LargeBinary),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        _time("added_at", now=True),
        sa.PrimaryKeyConstraint("chain_id", "address", name="pk_sources"),
        _chain("sources"),
        _group("sources"),
        schema="chain",
    )
    op.create_index("ix_sources_group_id", "sources", ["group_id"], schema="chain")


def _create_how_far() -> None:
    op.create_table(
        "reads",
        _id("read_id"),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("from_block", sa.BigInteger, nullable=False),
        sa.Column("to_block", sa.BigInteger, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        _time("requested_at"),
        sa.Column("elapsed_ms", sa.Integer, nullable=False),
        sa.Column("answer_bytes", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("logs", sa.Integer, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("bound_block", sa.BigInteger),
        sa.Column("bound_hash", sa.LargeBinary),
        sa.PrimaryKeyConstraint("read_id", name="pk_reads"),
        _chain("reads"),
        schema="chain",
    )
    op.create_index("ix_reads_chain_id_from_block", "reads", ["chain_id", "from_block"], schema="chain")
    op.create_table(
        "coverage",
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("from_block", sa.BigInteger, nullable=False),
        sa.Column("to_block", sa.BigInteger, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        _time("to_time", nullable=True),
        sa.PrimaryKeyConstraint("group_id", "from_block", name="pk_coverage"),
        sa.CheckConstraint("from_block <= to_block", name=op.f("ck_coverage_not_empty")),
        _group("coverage"),
        schema="chain",
    )


def _create_what_went_wrong() -> None:
    op.create_table(
        "unknown_logs",
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("log_index", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.LargeBinary, nullable=False),
        _time("block_time"),
        sa.Column("tx_hash", sa.LargeBinary, nullable=False),
        sa.Column("tx_index", sa.Integer, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("topics", ARRAY(sa.LargeBinary), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "block_number", "log_index", name="pk_unknown_logs"),
        _chain("unknown_logs"),
        schema="chain",
    )
    op.create_table(
        "incidents",
        _id("incident_id"),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, server_default="1", nullable=False),
        sa.Column("facts", JSONB),
        _time("first_at", now=True),
        _time("last_at", now=True),
        sa.PrimaryKeyConstraint("incident_id", name="pk_incidents"),
        _chain("incidents"),
        schema="chain",
    )
    op.create_index("ix_incidents_chain_id_last_at", "incidents", ["chain_id", "last_at"], schema="chain")
