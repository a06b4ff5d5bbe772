"""From logs to packed rows: which codec reads a log, and what becomes of one that none can read.

This is the hot path. It runs on a thread beside the event loop. Most logs take the short way of `packed`; the codec
reads the others.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from indexer.errors import Inconsistent, MalformedAnswer
from indexer.ingest.facts import Facts
from indexer.ingest.packed import Pack, compile_pack, leave_it
from indexer.networks import NETWORKS
from indexer.networks.base import Factory
from indexer.networks.codec import Codec, Undecodable
from indexer.rpc.types import Log
from indexer.store.binary import NULL, of_bytes
from indexer.store.copy import FIXED_COLUMNS, FIXED_TYPES, Row, Target
from indexer.store.ledger import Group, Member, Read
from indexer.store.sources import Wanted
from indexer.store.write import UNKNOWN_LOGS, Batch


class Route(NamedTuple):
    """How to read one event of one role."""

    codec: Codec
    target: Target
    pack: Pack
    factories: tuple[Factory, ...]


class Contract(NamedTuple):
    """A member of the group with what the loop over its logs needs; `address` is the hex text of its field."""

    member: Member
    from_block: int
    address: str
    routes: Mapping[tuple[str, int], Route]


class Decoder:
    """Turns the logs of one group into rows.

    `rows` and `born` collect what `add` finds. Raises Inconsistent for logs that were not asked for and
    MalformedAnswer for logs without a proper place.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._contracts = {member.address: _contract(member) for member in group.members}
        self.rows: dict[Target, list[Row]] = {}
        self.born: list[Wanted] = []

    def add(self, logs: Iterable[Log], times: Mapping[str, int], provider: str) -> None:
        """Decode `logs` of `provider`; `times` gives the Unix time of blocks (by hash) whose logs carry none."""
        facts = Facts(self._group.chain_id, times, provider)
        contracts, rows = self._contracts, self.rows
        for log in logs:
            contract = contracts.get(log.address)
            if contract is None:
                raise Inconsistent(f"a log of {log.address}, which was not asked for", provider=provider)
            number, before, after = facts.block(log)
            if number < contract.from_block:
                continue
            fixed = f"{before}{facts.index(log)}{after}{facts.transaction(log)}{contract.address}"
            topics = log.topics
            route = contract.routes.get((topics[0] if topics else "", len(topics)))
            if route is None:
                self._unknown(fixed, log, "no event of this contract has this signature", provider)
                continue
            try:
                row = route.pack(fixed, topics, log.data)
            except ValueError:
                row = None
            if row:
                rows.setdefault(route.target, []).append(row)
            else:
                self._long_way(route, fixed, log, number, contract.member, provider)

    def _long_way(self, route: Route, fixed: str, log: Log, block: int, member: Member,
                  provider: str) -> None:  # fmt: skip
        try:
            values = route.codec.decode(log.topics, log.data)
        except Undecodable as error:
            self._unknown(fixed, log, f"{route.codec.event.name}: {error}"[:200], provider)
            return
        self._keep(route.target, _from_hex(fixed, provider), values)
        for factory in route.factories:
            if all(values[n] == value for n, value in factory.where.items()):
                self._bear(factory, member, block, log, values)

    def _keep(self, target: Target, fixed: bytes, values: tuple[object, ...]) -> None:
        packers = zip(target.argument_fields, values, strict=True)
        fields = [pack(value) if value is not None else NULL for pack, value in packers]
        self.rows.setdefault(target, []).append(b"".join((target.start, fixed, *fields)))

    def _bear(self, factory: Factory, parent: Member, block: int, log: Log,
              values: tuple[object, ...]) -> None:  # fmt: skip
        value = values[factory.argument]
        raw = value if isinstance(value, bytes) else int(str(value)).to_bytes(32)
        child = Wanted("0x" + raw[-20:].hex(), parent.network, factory.child_role, block, self._group.evidence,
                       found_in=bytes.fromhex(log.transaction_hash[2:]))  # fmt: skip
        self.born.append(child)

    def _unknown(self, fixed: str, log: Log, reason: str, provider: str) -> None:
        topics = [_from_hex(topic[2:], provider) for topic in log.topics]
        data = _from_hex(log.data[2:], provider)
        self._keep(UNKNOWN_LOGS, _from_hex(fixed, provider), (topics, data, reason))


def to_batch(group: Group, parsed: Iterable[tuple[list[Log], Read]], times: Mapping[str, int]) -> Batch:
    """The rows of answers about `group`. `times`: Unix time of blocks (by hash) whose logs carry none. Raises as
    `Decoder.add`."""
    decoder, reads = Decoder(group), []
    for logs, read in parsed:
        decoder.add(logs, times, read.provider)
        reads.append(read)
    return Batch(group, reads, decoder.rows, decoder.born)


def _from_hex(text: str, provider: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise MalformedAnswer(f"a log: {error}", provider=provider) from None
    if 2 * len(raw) != len(text):  # fromhex skips blanks
        raise MalformedAnswer("blanks in the hex text of a log", provider=provider)
    return raw


def _contract(member: Member) -> Contract:
    address = of_bytes(bytes.fromhex(member.address[2:])).hex()
    return Contract(member, member.from_block, address, _routes(member.network, member.role))


@cache
def _routes(network: str, role: str) -> Mapping[tuple[str, int], Route]:
    """For a contract of `role`: topic0 and number of topics -> how to read it."""
    codecs = {key[1:]: codec for key, codec in NETWORKS[network].codecs.items() if key[0] == role}
    return {key: _route(network, role, codec) for key, codec in codecs.items()}


def _route(network: str, role: str, codec: Codec) -> Route:
    factories = tuple(f for f in NETWORKS[network].factories if f.role == role and f.table == codec.table)
    table = target(network, codec)
    # A factory looks at the values.
    return Route(codec, table, leave_it if factories else compile_pack(codec, table.start.hex()), factories)


def target(network: str, codec: Codec) -> Target:
    """The event table that a codec fills: the same one for all codecs of one table."""
    return _target(network, codec.table, codec.columns, codec.pg_types)


@cache
def _target(network: str, table: str, columns: tuple[str, ...], types: tuple[str, ...]) -> Target:
    return Target(network, table, FIXED_COLUMNS + columns, FIXED_TYPES + types)
