"""Facts that no event carries, with where they came from, and what it takes to find and to keep them.

A fact is kept beside the entity that shows it, because a rollback may delete the entity's row and the fact stays
true: it holds for the transaction `tx_hash`. A row that another transaction made asks anew.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from schema import arbius_entities as arbius
from schema import iexec_entities as iexec
from schema.arbius import EVENTS as ARBIUS_EVENTS
from schema.arbius_entities import TOKEN
from schema.base import metadata
from schema.entities import entity
from schema.iexec import EVENTS as IEXEC_EVENTS
from schema.iexec_support import contracts
from schema.silent_facts import override_facts, overrides_to_ask, parameter_facts, parameters_to_ask

_FROM = "enriched_from text! calldata, eth_call@block, or both"
_TX = "tx_hash bytea the transaction that made it; NULL: not read"

task_facts = entity(
    metadata,
    "arbius.task_facts",
    "task_id bytea",
    f"""
    {_TX}
    owner bytea
    version int
    cid bytea IPFS hash of the input: CIDv0 without base58
    input bytea
    input_size int bytes
    {_FROM}
    """,
    "What a task was asked with. Its id proves cid: keccak256(sender, id of the task before, model, fee, cid).",
)

solution_facts = entity(
    metadata,
    "arbius.solution_facts",
    "task_id bytea",
    f"""
    {_TX}
    cid bytea IPFS hash of the result, as the solver gave it
    stake amount locked by the solver, {TOKEN}; NULL: the engine's version has none
    commitment bytea keccak256(validator, task id, cid): SignalCommitment with it came in an earlier block
    {_FROM}
    commitment_age int8 seconds from the first SignalCommitment with it to the solution; NULL: one is not there
    """,
    "What a solution consists of.",
)
Index("ix_solution_facts_commitment", solution_facts.c.commitment, postgresql_using="hash")
_AGELESS = solution_facts.c.commitment_age.is_(None)
Index("ix_solution_facts_ageless", *solution_facts.primary_key, postgresql_where=_AGELESS)

contestation_facts = entity(
    metadata,
    "arbius.contestation_facts",
    "task_id bytea",
    f"""
    {_TX}
    slash_amount amount what each vote locks, {TOKEN}
    {_FROM}
    """,
    "What a contestation costs.",
)

model_facts = entity(
    metadata,
    "arbius.model_facts",
    "model_id bytea",
    f"""
    {_TX}
    cid bytea IPFS hash of the template
    registered_fee amount {TOKEN}
    registered_addr bytea who earns the fee
    registrant bytea who called the engine; NULL: not told by calldata
    template bytea NULL: not told by calldata
    allow_list text addresses that may solve it at first, hex text with commas; NULL: everybody, or not told
    {_FROM}
    """,
    "What a model was registered with. Its id proves it: keccak256(registrant, addr, fee, cid).",
)

validator_facts = entity(
    metadata,
    "arbius.validator_facts",
    "validator bytea",
    f"""
    staked amount {TOKEN}
    since time when the stake last became enough
    block_number int8! when it was so
    reorg_id int8! newest rollback of the chain then; 0: none
    stale bool! an event has moved the stake since, or a rollback has removed the block
    {_FROM}
    """,
    "Stakes as of a block. They move without telling by how much, so they are asked again after each event.",
)

_DEAL = iexec.deals.columns
_TERMS = _DEAL.values()[_DEAL.keys().index("app") : _DEAL.keys().index("enriched_from")]


def _kept(name: str, about: str, keys: dict[str, Any], columns: list[Column[Any]]) -> Table:
    """A table of schema `iexec`; `keys` follow chain_id and address."""
    made = [Column(key, kind, primary_key=True, autoincrement=False) for key, kind in keys.items()]
    return Table(
        name,
        metadata,
        Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
        Column("address", LargeBinary, primary_key=True, comment="hub"),
        *made,
        Column("tx_hash", LargeBinary, comment="the transaction that made it; NULL: not read"),
        *columns,
        Column("enriched_from", Text, nullable=False, comment="calldata, eth_call@block, or both"),
        schema="iexec",
        comment=about,
    )


deal_facts = _kept(
    "deal_facts",
    "Terms of deals by viewDeal, as they were when the deal was made.",
    {"dealid": LargeBinary()},
    [Column(column.name, column.type, comment=column.comment) for column in _TERMS],
)

callback_facts = _kept(
    "callback_facts",
    "What tasks handed to their callback.",
    {"taskid": LargeBinary()},
    [Column("results_callback", LargeBinary, comment="empty: the deal has no callback")],
)

contribution_facts = _kept(
    "contribution_facts",
    "What viewContribution tells beyond the events.",
    {"taskid": LargeBinary(), "worker": LargeBinary()},
    [
        Column("result_seal", LargeBinary, comment="keccak256(worker, taskid, digest)"),
        Column("enclave_challenge", LargeBinary, comment="zero: no enclave"),
        Column("weight", iexec.contributions.c.weight.type, comment="binary logarithm"),
    ],
)

entry_facts = _kept(
    "entry_facts",
    "What apps, datasets and workerpools say of themselves.",
    {"entry": LargeBinary()},
    [
        Column("kind", Text, comment="app, dataset or workerpool"),
        Column("name", Text, comment="of a workerpool: its description"),
        Column("name_raw", LargeBinary, comment="the name when it is no valid text"),
        Column("type", Text, comment="of an app: DOCKER"),
        Column("multiaddr", LargeBinary, comment="where to get it; of apps mostly text"),
        Column("checksum", LargeBinary),
        Column("mrenclave", LargeBinary, comment="of an app: fingerprint of its enclave"),
    ],
)

fact_retries = Table(
    "fact_retries",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("facts", Text, primary_key=True, comment="schema.table that lacks them"),
    Column("address", LargeBinary, primary_key=True, comment="engine or hub"),
    Column("key", LargeBinary, primary_key=True, comment="the rest of the key, joined"),
    Column(
        "tries",
        Integer,
        nullable=False,
        comment="questions without answer so far; it begins with 3 where repeats at once are no use",
    ),
    Column("next_at", DateTime(timezone=True), nullable=False, comment="not asked again before"),
    schema="chain",
    comment="Facts that could not be learned yet. Waits double from 10 seconds up to a day.",
)


@dataclass(frozen=True)
class Kind:
    """Facts of one entity. Keys of `entity` and `facts` agree by their order.

    `lacking` is true of rows that facts are asked for, newest first by the column `newest`. `tx` is the column of
    the transaction that made the row. `asks`: what else a question needs, by name. `silent`: facts that change without
    an event; `lacking` looks at them itself, and the entity does not show them.
    """

    entity: Table
    facts: Table
    lacking: ColumnElement[bool]
    newest: str
    tx: str | None = None
    asks: tuple[ColumnElement[Any], ...] = ()
    silent: bool = False

    @property
    def moves(self) -> bool:
        """Whether facts hold as of a block only."""
        return "block_number" in self.facts.columns

    @property
    def copied(self) -> list[str]:
        """The facts that the entity shows."""
        if self.silent:
            return []
        own = {column.name for column in self.entity.columns if not column.primary_key} - {"tx_hash"}
        return [column.name for column in self.facts.columns if not column.primary_key and column.name in own]

    @property
    def same(self) -> ColumnElement[bool]:
        """Whether a row of `facts` is of a row of `entity`: same key, same transaction."""
        pairs = zip(self.entity.primary_key, self.facts.primary_key, strict=True)
        told = [mine == theirs for mine, theirs in pairs]
        if self.tx:
            told.append(self.entity.c[self.tx].is_not_distinct_from(self.facts.c.tx_hash))
        return and_(*told)


def _task_before() -> ColumnElement[Any]:
    """The task that the engine was asked for before: ids are a chain."""
    t, e = arbius.tasks.c, ARBIUS_EVENTS["task_submitted"].c
    earlier = tuple_(e.block_number, e.log_index) < tuple_(t.submitted_block, t.submitted_log_index)
    query = select(e.id).where(e.chain_id == t.chain_id, e.address == t.address, earlier)
    newest = query.order_by(e.block_number.desc(), e.log_index.desc()).limit(1)
    return newest.scalar_subquery().label("before")


def _emitter() -> ColumnElement[Any]:
    """Who told of the deal and can be asked: in v3 that is not the contract that keeps its tasks."""
    d, e = iexec.deals.c, IEXEC_EVENTS["orders_matched"].c
    query = select(e.address).where(e.dealid == d.dealid, e.chain_id == d.chain_id, e.block_number == d.block_number)
    return query.limit(1).scalar_subquery().label("emitter")


def _notice() -> ColumnElement[Any]:
    """What SchedulerNoticeBoost tells of a deal; NULL for a classic one."""
    d, e = iexec.deals.c, IEXEC_EVENTS["scheduler_notice_boost"].c
    told: dict[str, Any] = {
        name: func.encode(e[name], "hex") for name in ("app", "dataset", "tag", "beneficiary", "params_raw")
    }
    told |= {"category": cast(e.category, Text), "params": e.params}
    parts = [part for name, value in told.items() for part in (literal(name, Text()), value)]
    query = select(func.jsonb_build_object(*parts, type_=JSONB())).where(
        e.deal_id == d.dealid, e.chain_id == d.chain_id, e.block_number == d.block_number
    )
    return query.limit(1).scalar_subquery().label("notice")


def _callback_is_kept() -> ColumnElement[bool]:
    """Whether the hub of a task keeps what the callback was given: v3, which had a clerk, and PoCo Boost do not."""
    t, d, c = iexec.tasks.c, iexec.deals.c, contracts.c
    clerk = exists().where(c.chain_id == t.chain_id, c.hub == t.address, c.role == "hub", c.address != c.hub)
    boost = exists().where(d.chain_id == t.chain_id, d.address == t.address, d.dealid == t.dealid, d.boost)
    return and_(~clerk, ~boost)


def _unknown(table: Table) -> ColumnElement[bool]:
    mine = zip(table.primary_key, entry_facts.primary_key, strict=True)
    same = [theirs == own for own, theirs in mine]
    return ~exists().where(*same, entry_facts.c.tx_hash.is_not_distinct_from(table.c.created_tx))


def _moved() -> ColumnElement[bool]:
    v, f = arbius.validators.c, validator_facts.c
    same = and_(f.chain_id == v.chain_id, f.address == v.address, f.validator == v.validator)
    return or_(v.staked.is_(None), exists().where(same, f.stale))


_t, _s, _c, _m = (table.c for table in (arbius.tasks, arbius.solutions, arbius.contestations, arbius.models))
_done = and_(iexec.tasks.c.finalized_at.is_not(None), iexec.tasks.c.results_callback.is_(None), _callback_is_kept())

KINDS: dict[str, tuple[Kind, ...]] = {
    "arbius": (
        Kind(arbius.models, model_facts, _m.cid.is_(None), "registered_block", "registered_tx", (_m.fee,)),
        Kind(
            arbius.tasks,
            task_facts,
            _t.input_size.is_(None),
            "submitted_block",
            "submitted_tx",
            (_t.model, _t.fee, _t.sender, _task_before()),
        ),
        Kind(arbius.solutions, solution_facts, _s.cid.is_(None), "submitted_block", "submitted_tx", (_s.validator,)),
        Kind(
            arbius.contestations,
            contestation_facts,
            _c.slash_amount.is_(None),
            "submitted_block",
            "submitted_tx",
            (_c.validator,),
        ),
        Kind(arbius.validators, validator_facts, _moved(), "last_block"),
        Kind(arbius.parameters, parameter_facts, parameters_to_ask(), "since_block", silent=True),
        Kind(arbius.models, override_facts, overrides_to_ask(), "registered_block", silent=True),
    ),
    "iexec": (
        Kind(
            iexec.deals,
            deal_facts,
            iexec.deals.c.enriched_from.is_(None),
            "block_number",
            "tx_hash",
            (*(iexec.deals.c[name] for name in ("start_time", "bot_size", "payer", "sponsor")), _emitter(), _notice()),
        ),
        Kind(iexec.tasks, callback_facts, _done, "finalized_block", "finalized_tx"),
        Kind(
            iexec.contributions,
            contribution_facts,
            iexec.contributions.c.weight.is_(None),
            "first_block",
            "contributed_tx",
            (iexec.contributions.c.result_hash,),
        ),
        *(
            Kind(table, entry_facts, _unknown(table), "created_block", "created_tx")
            for table in (iexec.apps, iexec.datasets, iexec.workerpools)
        ),
    ),
}
"""Per network: the facts that are asked for, in this order."""
