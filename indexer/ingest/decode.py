"""From logs to rows: which codec reads a log, and what becomes of one that none can read.

This is the hot path. It runs on a thread beside the event loop; values that repeat within an answer (block hash,
block time, addresses) are made once.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from indexer.errors import Inconsistent
from indexer.ingest.facts import Facts, Fixed
from indexer.networks import NETWORKS
from indexer.networks.base import Factory, Network
from indexer.networks.codec import Codec, Undecodable
from indexer.rpc.types import Log
from indexer.store.copy import Target
from indexer.store.ledger import Group, Member
from indexer.store.sources import Wanted
from indexer.store.write import FIXED_COLUMNS, FIXED_TYPES, UNKNOWN_LOGS, Row

ARGUMENTS = len(FIXED_COLUMNS)
Route = tuple[Codec, Target, tuple[Factory, ...]]


@lru_cache
def target(network: str, codec: Codec) -> Target:
    """The event table that a codec fills."""
    return Target(network, codec.table, FIXED_COLUMNS + codec.columns, FIXED_TYPES + codec.pg_types)


class Decoder:
    """Turns the logs of one group into rows.

    `rows` and `born` collect until `take` hands them out. Raises Inconsistent for logs that were not asked for.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._members = {member.address: member for member in group.members}
        self._routes = {address: _routes(member) for address, member in self._members.items()}
        self.rows: dict[Target, list[Row]] = {}
        self.born: list[Wanted] = []

    def add(self, logs: Iterable[Log], times: Mapping[str, int]) -> None:
        """Decode `logs`; `times` gives the Unix time of blocks (by hash) whose logs carry none."""
        facts = Facts(self._group.chain_id, times)
        for log in logs:
            member = self._members.get(log.address)
            if member is None:
                raise Inconsistent(f"a log of {log.address}, which was not asked for", provider="the provider")
            fixed = facts.of(log)
            if fixed[1] < member.from_block:
                continue
            route = self._routes[log.address].get((log.topics[0] if log.topics else "", len(log.topics)))
            if route is None:
                self._unknown(fixed, log, "no event of this contract has this signature")
            else:
                self._decode(route, member, fixed, log)

    def _decode(self, route: Route, member: Member, fixed: Fixed,
                log: Log) -> None:  # fmt: skip
        codec, table, factories = route
        try:
            values = codec.decode(log.topics, log.data)
        except Undecodable as error:
            self._unknown(fixed, log, f"{codec.event.name}: {error}"[:200])
            return
        self.rows.setdefault(table, []).append(fixed + values)
        for factory in factories:
            if all(values[n] == value for n, value in factory.where.items()):
                self._bear(factory, member, fixed, values)

    def _bear(self, factory: Factory, parent: Member, fixed: Fixed,
              values: tuple[object, ...]) -> None:  # fmt: skip
        value = values[factory.argument]
        raw = value if isinstance(value, bytes) else int(str(value)).to_bytes(32)
        child = Wanted("0x" + raw[-20:].hex(), parent.network, factory.child_role, fixed[1], self._group.evidence,
                       found_in=fixed[5])  # fmt: skip
        self.born.append(child)

    def _unknown(self, fixed: tuple[object, ...], log: Log, reason: str) -> None:
        topics = [bytes.fromhex(topic[2:]) for topic in log.topics]
        row = (*fixed, topics, bytes.fromhex(log.data[2:]), reason)
        self.rows.setdefault(UNKNOWN_LOGS, []).append(row)


def _routes(member: Member) -> dict[tuple[str, int], Route]:
    """For a contract: topic0 and number of topics -> how to read it."""
    network: Network = NETWORKS[member.network]
    return {
        (topic0, topics): (codec, target(member.network, codec), _factories(network, member.role, codec))
        for (role, topic0, topics), codec in network.codecs.items()
        if role == member.role
    }


def _factories(network: Network, role: str, codec: Codec) -> tuple[Factory, ...]:
    return tuple(f for f in network.factories if f.role == role and f.table == codec.table)
