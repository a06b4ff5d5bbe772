"""What happens on the simulated chain: transactions of an Arbius engine, of an iExec hub, and of others.

A transaction says what must hold before it (`needs`) and what holds after it (`sets`), as facts in a dict. So it can
be included again on another branch, or fail there, as on a real chain; a few odd ones are included all the same.
"""

from collections.abc import Callable, Container, Iterator
from random import Random
from typing import Any, NamedTuple

from eth_hash.auto import keccak

from tests.simulation.abi import ARBIUS, IEXEC, REGISTRY, WORKERPOOL, Event, Value

Key = tuple[str, object]
State = dict[Key, Any]
Entry = tuple[bytes, tuple[bytes, ...], bytes]  # address, topics, data

ENGINE = bytes.fromhex("e1" * 20)
HUB = bytes.fromhex("b1" * 20)
APPS, DATASETS, POOLS = (bytes.fromhex(pair * 20) for pair in ("a1", "a2", "a3"))
TOKEN = bytes.fromhex("70" * 20)
NOBODY = bytes(20)
PEOPLE = tuple(keccak(bytes([n]))[:20] for n in range(9))


class Tx(NamedTuple):
    """A transaction with the logs that it writes where its `needs` are met."""

    hash: bytes
    entries: tuple[Entry, ...]
    needs: tuple[tuple[Key, Any], ...] = ()
    sets: tuple[tuple[Key, Any], ...] = ()
    odd: bool = False

    def holds(self, state: State) -> bool:
        """Whether it succeeds after `state`."""
        return self.odd or all(state.get(key) == value for key, value in self.needs)


Story = tuple[list[Entry], list[tuple[Key, Any]], list[tuple[Key, Any]]]


class Lives:
    """Makes up transactions that fit a state. `networks`: which of arbius and iexec live here."""

    def __init__(self, rng: Random, networks: tuple[str, ...]) -> None:
        self._rng = rng
        self._tellers: list[Callable[[State], Story | None]] = []
        if "arbius" in networks:
            self._tellers += [self._submit, self._submit, self._solve, self._solve, self._claim, self._contest]
            self._tellers += [self._vote, self._finish, self._retract, self._model, self._stake, self._rules]
        if "iexec" in networks:
            self._tellers += [self._deal, self._deal, self._initialize, self._contribute, self._contribute]
            self._tellers += [self._reveal, self._finalize, self._give_up, self._register, self._pool, self._category]

    def transaction(self, state: State) -> Tx:
        """One that fits `state`; in one of six cases it is not watched, in one of twenty it is odd."""
        rng = self._rng
        story = None if rng.random() < 0.16 else rng.choice(self._tellers)(state)
        if story is None:
            return Tx(rng.randbytes(32), tuple(self._noise()))
        entries, needs, sets = story
        if rng.random() < 0.1:
            entries.insert(rng.randrange(len(entries) + 1), next(self._noise()))
        if rng.random() < 0.03:
            entries.append(self._strange())
        return Tx(rng.randbytes(32), tuple(entries), tuple(needs), tuple(sets), rng.random() < 0.05)

    def watched(self, state: State, unlike: Container[tuple[Entry, ...]] = ()) -> Tx:
        """One that succeeds after `state`, writes logs of watched contracts, and none of `unlike`."""
        while True:
            tx = self.transaction(state)
            known = any(address in (ENGINE, HUB, APPS, DATASETS, POOLS) for address, _, _ in tx.entries)
            if known and tx.holds(state) and tx.entries not in unlike:
                return tx

    def _pick(self, state: State, kind: str, *stages: object) -> Any:
        """The id of one of the latest that stand at one of `stages`."""
        found = [key[1] for key, value in state.items() if key[0] == kind and value in stages]
        return self._rng.choice(found[-20:]) if found else None

    def _who(self) -> bytes:
        return self._rng.choice(PEOPLE)

    def _noise(self) -> Iterator[Entry]:
        """Logs of contracts that nobody watches, some with events that others have too."""
        while True:
            transfer = IEXEC["Transfer"].encode(self._who(), self._who(), self._rng.randrange(10**9))
            yield TOKEN, *transfer
            if self._rng.random() < 0.6:
                return
            yield self._rng.randbytes(20), (self._rng.randbytes(32),), self._rng.randbytes(32)
            if self._rng.random() < 0.5:
                return

    def _strange(self) -> Entry:
        """A log of a watched contract that belongs to no table: an unknown event, no topic at all, or damaged data."""
        address = self._rng.choice((ENGINE, HUB))
        kind = self._rng.randrange(3)
        if kind == 0:
            return address, (self._rng.randbytes(32),), self._rng.randbytes(self._rng.randrange(70))
        if kind == 1:
            return address, (), self._rng.randbytes(5)
        topics, data = (ARBIUS["ValidatorDeposit"] if address == ENGINE else IEXEC["Transfer"]).encode(
            self._who(), self._who(), 5
        )
        return address, topics, data[:31]

    # Arbius: facts ("task", id) -> stage, ("model", id) -> True, ("requests", validator) -> how many.

    def _model(self, state: State) -> Story:
        known = self._pick(state, "model", True)
        if known and self._rng.random() < 0.5:
            change = self._rng.randrange(3)
            entry = (
                _log(ENGINE, ARBIUS["ModelFeeChanged"], known, self._rng.randrange(10**20))
                if change == 0
                else _log(ENGINE, ARBIUS["ModelAddrChanged"], known, self._who())
                if change == 1
                else _log(ENGINE, ARBIUS["SolutionMineableRateChange"], known, 2**256 - 1)
            )
            return [entry], [(("model", known), True)], []
        model = self._rng.randbytes(32)
        return [_log(ENGINE, ARBIUS["ModelRegistered"], model)], [], [(("model", model), True)]

    def _submit(self, state: State) -> Story:
        model = self._pick(state, "model", True) or bytes(31) + b"\1"
        sender = self._who()
        tasks = [self._rng.randbytes(32) for _ in range(self._rng.choice((1, 1, 2, 4)))]
        fee = self._rng.randrange(10**18)
        logs = [_log(ENGINE, ARBIUS["TaskSubmitted"], task, model, fee, sender) for task in tasks]
        return logs, [], [(("task", task), "open") for task in tasks]

    def _solve(self, state: State) -> Story | None:
        task = self._pick(state, "task", "open")
        if task is None:
            return None
        solver = self._who()
        logs = [_log(ENGINE, ARBIUS["SolutionSubmitted"], solver, task)]
        if self._rng.random() < 0.5:
            logs.insert(0, _log(ENGINE, ARBIUS["SignalCommitment"], solver, keccak(solver + task)))
        return logs, [(("task", task), "open")], [(("task", task), ("solved", solver))]

    def _solved(self, state: State) -> tuple[bytes, tuple[str, bytes]] | None:
        found = [(key[1], value) for key, value in state.items() if key[0] == "task" and value[0] == "solved"]
        return self._rng.choice(found[-20:]) if found else None  # type: ignore[return-value]

    def _claim(self, state: State) -> Story | None:
        if (found := self._solved(state)) is None:
            return None
        task, stage = found
        fee = self._rng.randrange(10**12)
        logs = [_log(ENGINE, ARBIUS["SolutionClaimed"], stage[1], task)]
        logs.append(_log(ENGINE, ARBIUS["FeesPaid"], fee, fee // 10, fee // 2, fee // 3))
        if self._rng.random() < 0.6:
            logs.append(_log(ENGINE, ARBIUS["RewardsPaid"], 1000, 100, 100, 800))
        return logs, [(("task", task), stage)], [(("task", task), "claimed")]

    def _contest(self, state: State) -> Story | None:
        if (found := self._solved(state)) is None:
            return None
        task, stage = found
        contester = self._who()
        logs = [_log(ENGINE, ARBIUS["ContestationSubmitted"], contester, task)]
        logs += [_log(ENGINE, ARBIUS["ContestationVote"], who, task, who == contester) for who in (contester, stage[1])]
        return logs, [(("task", task), stage)], [(("task", task), "contested")]

    def _vote(self, state: State) -> Story | None:
        if (task := self._pick(state, "task", "contested")) is None:
            return None
        vote = _log(ENGINE, ARBIUS["ContestationVote"], self._rng.randbytes(20), task, self._rng.random() < 0.5)
        return [vote], [(("task", task), "contested")], []

    def _finish(self, state: State) -> Story | None:
        if (task := self._pick(state, "task", "contested")) is None:
            return None
        finish = _log(ENGINE, ARBIUS["ContestationVoteFinish"], task, 0, self._rng.randrange(1, 6))
        return [finish], [(("task", task), "contested")], [(("task", task), "finished")]

    def _retract(self, state: State) -> Story | None:
        if (task := self._pick(state, "task", "open")) is None:
            return None
        return [_log(ENGINE, ARBIUS["TaskRetracted"], task)], [(("task", task), "open")], [(("task", task), "gone")]

    def _stake(self, state: State) -> Story:
        who, amount = self._who(), self._rng.randrange(10**20)
        count = state.get(("requests", who), 0)
        match self._rng.randrange(3):
            case 0:
                entry = _log(ENGINE, ARBIUS["ValidatorWithdrawInitiated"], who, count + 1, 2**255, amount)
                return [entry], [(("requests", who), state.get(("requests", who)))], [(("requests", who), count + 1)]
            case 1 if count:
                entry = _log(ENGINE, ARBIUS["ValidatorWithdrawCancelled"], who, count)
                return [entry], [(("requests", who), count)], []
        return [_log(ENGINE, ARBIUS["ValidatorDeposit"], self._who(), who, amount)], [], []

    def _rules(self, state: State) -> Story:
        kind = self._rng.choice(("PausedChanged", "MinClaimSolutionTimeChanged", "VersionChanged"))
        value: Value = self._rng.random() < 0.3 if kind == "PausedChanged" else self._rng.randrange(1, 9)
        return [_log(ENGINE, ARBIUS[kind], value)], [], []

    # iExec: ("work", taskid) -> (stage, pool, workers), ("taken", request) -> volume of its deals, ("pool", address).

    def _deal(self, state: State) -> Story:
        pool = self._pick(state, "pool", True) or PEOPLE[0]
        request = keccak(bytes([self._rng.randrange(12)]))
        first, volume = state.get(("taken", request), 0), self._rng.randrange(1, 4)
        dealid = keccak(request + first.to_bytes(32))
        payer, price = self._who(), self._rng.randrange(100) * volume
        logs = _moved(payer, HUB, price, "Lock", payer) + _moved(PEOPLE[0], HUB, price // 3, "Lock", PEOPLE[0])
        logs.append(_log(HUB, IEXEC["SchedulerNotice"], pool, dealid))
        hashes = [keccak(b"app"), bytes(32), keccak(b"pool"), request]
        logs.append(_log(HUB, IEXEC["OrdersMatched"], dealid, *hashes, volume))
        if self._rng.random() < 0.2:
            logs.append(_log(HUB, IEXEC["DealSponsored"], dealid, payer))
        sets: list[tuple[Key, Any]] = [(("taken", request), first + volume)]
        for index in range(first, first + volume):
            sets.append((("work", keccak(dealid + index.to_bytes(32))), ("unset", pool, ())))
        needs: list[tuple[Key, Any]] = [(("taken", request), state.get(("taken", request)))]
        return logs, needs, sets

    def _work(self, state: State, *stages: str) -> tuple[bytes, tuple[str, bytes, tuple[bytes, ...]]] | None:
        found = [(key[1], value) for key, value in state.items() if key[0] == "work" and value[0] in stages]
        return self._rng.choice(found[-20:]) if found else None  # type: ignore[return-value]

    def _initialize(self, state: State) -> Story | None:
        if (found := self._work(state, "unset")) is None:
            return None
        task, stage = found
        logs = [_log(HUB, IEXEC["TaskInitialize"], task, stage[1])]
        return logs, [(("work", task), stage)], [(("work", task), ("active", stage[1], ()))]

    def _contribute(self, state: State) -> Story | None:
        if (found := self._work(state, "active")) is None:
            return None
        task, stage = found
        worker = next(who for who in PEOPLE if who not in stage[2])
        result = keccak(task + (b"wrong" if self._rng.random() < 0.2 else b"right"))
        logs = _moved(worker, HUB, 7, "Lock", worker)
        logs.append(_log(HUB, IEXEC["TaskContribute"], task, worker, result))
        after = ("active", stage[1], (*stage[2], worker))
        if len(after[2]) == 3 or self._rng.random() < 0.4:
            logs.append(_log(HUB, IEXEC["TaskConsensus"], task, keccak(task + b"right")))
            after = ("revealing", stage[1], after[2])
        return logs, [(("work", task), stage)], [(("work", task), after)]

    def _reveal(self, state: State) -> Story | None:
        if (found := self._work(state, "revealing")) is None:
            return None
        task, stage = found
        if self._rng.random() < 0.1:
            return [_log(HUB, IEXEC["TaskReopen"], task)], [(("work", task), stage)], [
                (("work", task), ("active", stage[1], ()))
            ]  # fmt: skip
        logs = [_log(HUB, IEXEC["TaskReveal"], task, worker, keccak(b"right")) for worker in stage[2][:2]]
        return logs, [(("work", task), stage)], [(("work", task), ("revealed", *stage[1:]))]

    def _finalize(self, state: State) -> Story | None:
        if (found := self._work(state, "revealed")) is None:
            return None
        task, stage = found
        logs = [_log(HUB, IEXEC["Seize"], PEOPLE[1], 20, task)]
        logs += _moved(HUB, PEOPLE[0], 9, "Unlock", PEOPLE[0])
        for worker in stage[2][:2]:
            logs += _moved(HUB, worker, 7, "Unlock", worker)
            logs.append(_log(HUB, IEXEC["Reward"], worker, 3, task))
            logs.append(_log(HUB, IEXEC["AccurateContribution"], worker, task))
        for worker in stage[2][2:]:
            logs += [_log(HUB, IEXEC["Seize"], worker, 7, task), _log(HUB, IEXEC["FaultyContribution"], worker, task)]
        logs.append(_log(HUB, IEXEC["TaskFinalize"], task, self._rng.randbytes(self._rng.randrange(80))))
        return logs, [(("work", task), stage)], [(("work", task), ("done", *stage[1:]))]

    def _give_up(self, state: State) -> Story | None:
        if (found := self._work(state, "active", "revealing")) is None:
            return None
        task, stage = found
        logs = _moved(HUB, PEOPLE[1], 20, "Unlock", PEOPLE[1])
        for worker in stage[2]:
            logs += _moved(HUB, worker, 7, "Unlock", worker)
        logs.append(_log(HUB, IEXEC["TaskClaimed"], task))
        return logs, [(("work", task), stage)], [(("work", task), ("failed", *stage[1:]))]

    def _register(self, state: State) -> Story:
        owner = self._who()
        match self._rng.randrange(4):
            case 0:
                app = self._rng.randbytes(20)
                mint = _log(APPS, REGISTRY["Transfer"], NOBODY, owner, app)
                return [mint, _log(APPS, REGISTRY["CreateApp"], owner, app)], [], [(("app", app), owner)]
            case 1:
                return [_log(DATASETS, REGISTRY["Transfer"], NOBODY, owner, self._rng.randbytes(20))], [], []
            case 2:
                kind = self._rng.choice(("SignedRequestOrder", "ClosedRequestOrder"))
                return [_log(HUB, IEXEC[kind], keccak(bytes([self._rng.randrange(12)])))], [], []
        return [_log(HUB, IEXEC["Transfer"], NOBODY, owner, self._rng.randrange(10**9))], [], []

    def _pool(self, state: State) -> Story:
        known = self._pick(state, "pool", True)
        if known and self._rng.random() < 0.7:
            return [_log(known, WORKERPOOL["PolicyUpdate"], 30, 40, 1, 2)], [(("pool", known), True)], []
        return self.birth()

    def birth(self) -> Story:
        """A workerpool: a contract that is born on the way, at times with events in the very same transaction."""
        owner, pool = self._who(), self._rng.randbytes(20)
        logs = [_log(POOLS, REGISTRY["Transfer"], NOBODY, owner, pool)]
        if self._rng.random() < 0.6:
            logs.append(_log(pool, WORKERPOOL["OwnershipTransferred"], NOBODY, owner))
        if self._rng.random() < 0.3:
            logs.insert(0, _log(pool, WORKERPOOL["PolicyUpdate"], 0, 30, 0, 1))
        return logs, [], [(("pool", pool), True)]

    def _category(self, state: State) -> Story:
        count = state.get(("categories", 0), 0)
        name = self._rng.choice((b"XS", b"", "naïve".encode(), b"\xff\xfe", b"with\0nul"))
        entry = _log(HUB, IEXEC["CreateCategory"], count, name, "for tests", 300)
        return [entry], [(("categories", 0), state.get(("categories", 0)))], [(("categories", 0), count + 1)]


def _log(address: bytes, event: Event, *values: Value) -> Entry:
    return address, *event.encode(*values)


def _moved(source: bytes, to: bytes, amount: int, what: str, owner: bytes) -> list[Entry]:
    return [_log(HUB, IEXEC["Transfer"], source, to, amount), _log(HUB, IEXEC[what], owner, amount)]
