"""Payments by votes, gifts to the iExec hub, and indexes for payments by time, account and amount."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

RELEASED = "coalesce(paid_at, claimed_at, finished_at)"
DEFENDED = "stake > 0::numeric AND NOT claimed AND (paid_at IS NOT NULL OR outcome = 'failed')"
SLASHED = "stake > 0::numeric AND outcome = 'succeeded'"
NOBODY = r"'\x0000000000000000000000000000000000000000'::bytea"
MOVED = " AND ".join(f'"{side}" <> {there}' for side in ("from", "to") for there in (NOBODY, "address"))


def _hex(column: str) -> str:
    return f"(('0x' || encode(\"{column}\", 'hex')) COLLATE \"C\")"  # as `analytics.hex` is inlined


PAID: tuple[tuple[str, str, str, str | None, list[str], list[str]], ...] = (
    ("arbius", "validator_deposit", "", None, ["addr", "validator"], ["amount"]),
    ("arbius", "validator_withdraw", "", None, ["addr", "to"], ["amount"]),
    ("iexec", "transfer", "minted_", f'"from" = {NOBODY}', ["to"], []),
    ("iexec", "transfer", "burned_", f'"to" = {NOBODY}', ["from"], []),
    ("iexec", "transfer", "moved_", MOVED, ["from", "to"], []),
    *(
        ("iexec", name, "", None, ["owner"], [])
        for name in ("lock", "unlock", "reward", "seize", "deposit", "withdraw")
    ),
    ("iexec", "deposit_for", "", None, ["owner", "target"], []),
    ("iexec", "faulty_contribution", "", None, [], []),
)
"""Event tables that payments come from: which rows, by whom and by what amounts they are looked up."""


STATISTICS = """
CREATE STATISTICS iexec.st_<table>_contract ON (('0x' || encode(address, 'hex')) COLLATE "C") FROM iexec.<table>
"""
ONE_HUB = ("lock", "unlock", "reward", "seize")  # a planner that does not know would sort them all for a page


def upgrade() -> None:
    op.create_table(
        "vote_payments",
        _key("chain_id", sa.BigInteger()),
        _key("address", sa.LargeBinary()),
        _key("task_id", sa.LargeBinary()),
        _key("voter", sa.LargeBinary()),
        _key("kind", sa.Text()),
        _key("block_number", sa.BigInteger()),
        _key("log_index", sa.Integer()),
        sa.Column("block_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint(
            "chain_id", "address", "task_id", "voter", "kind", "block_number", "log_index", name="pk_vote_payments"
        ),
        schema="arbius",
    )
    op.create_table(
        "gifts",
        _key("chain_id", sa.BigInteger()),
        _key("block_number", sa.BigInteger()),
        _key("log_index", sa.Integer()),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("block_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("from", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.Numeric(78, 0), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "block_number", "log_index", name="pk_gifts"),
        schema="iexec",
    )
    _index("arbius", "vote_payments", "kind", ["kind", "block_time"])
    _index("arbius", "vote_payments", "voter_hex", [_hex("voter"), "kind", "block_time"])
    _index("arbius", "vote_payments", "task_id_hex", [_hex("task_id")])
    _index("iexec", "gifts", "block_time", ["block_time"])
    _index("iexec", "gifts", "from_hex", [_hex("from"), "block_time"])
    _index("arbius", "solutions", "validator_rewarded", [_hex("validator"), RELEASED], "rewarded_log_index IS NOT NULL")
    _index("arbius", "solutions", "defended", [RELEASED], DEFENDED)
    _index("arbius", "solutions", "validator_defended", [_hex("validator"), RELEASED], DEFENDED)
    _index("arbius", "solutions", "validator_slashed", [_hex("validator"), "finished_at"], SLASHED)
    for table in ONE_HUB:
        op.execute(STATISTICS.replace("<table>", table))
        op.execute("ANALYZE iexec.<table>".replace("<table>", table))
    for schema, table, part, where, accounts, amounts in PAID:
        _index(schema, table, f"{part}block_time", ["block_time"], where)
        for account in accounts:
            _index(schema, table, f"{part}{account}_hex", [_hex(account), "block_time"], where)
        for amount in amounts:
            _index(schema, table, f"{part}{amount}", [amount], where)


def downgrade() -> None:
    op.execute("DROP STATISTICS " + ", ".join(f"iexec.st_{table}_contract" for table in ONE_HUB))
    for schema, table, part, _, accounts, amounts in PAID:
        for name in ("block_time", *(f"{account}_hex" for account in accounts), *amounts):
            op.drop_index(f"ix_{table}_{part}{name}", table, schema=schema)
    for name in ("validator_rewarded", "defended", "validator_defended", "validator_slashed"):
        op.drop_index(f"ix_solutions_{name}", "solutions", schema="arbius")
    op.drop_table("gifts", schema="iexec")
    op.drop_table("vote_payments", schema="arbius")


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def _index(schema: str, table: str, name: str, columns: list[str], where: str | None = None) -> None:
    only = sa.text(where) if where else None
    op.create_index(f"ix_{table}_{name}", table, list(map(sa.text, columns)), schema=schema, postgresql_where=only)
