"""Life cycles by brute force: the rules of arbius.md and iexec.md, section 3, over raw logs, with no code of ours.

A world takes the logs of a recording one by one and can be asked for the state of a task at any second.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.unit.protocol_events import facts

Log = dict[str, Any]

_NAMES = {(fact.network, fact.topic0): fact.name for fact in facts()}
# Version -> what it sets of claim window, vote period, extension per vote (seconds), yeas added: arbius.md, parameters.
_VERSIONS: dict[str, dict[str, int]] = {
    "V2_EngineV1": {"claim": 2000, "vote": 4000, "extension": 0, "adder": 0, "losses": 0},
    "V2_EngineV2": {"losses": 1},
    "V2_EngineV3": {"claim": 3600, "vote": 360, "extension": 10},
    "V2_EngineV6": {"adder": 50},
}
_SETTERS = {
    "MinClaimSolutionTimeChanged": "claim",
    "MinContestationVotePeriodTimeChanged": "vote",
    "MasterContesterVoteAdderSet": "adder",
}


def name_of(network: str, log: Log) -> str:
    """The name of the event; empty for one that the page does not have."""
    return _NAMES.get((network, log["topics"][0]), "")


def _words(log: Log) -> list[str]:
    """Indexed arguments, then the words of the data, all as 64 hex digits."""
    data = log["data"][2:]
    return [topic[2:] for topic in log["topics"][1:]] + [data[n : n + 64] for n in range(0, len(data), 64)]


@dataclass
class Solved:
    """A solution, and its contestation with the votes in order."""

    solver: str
    at: int
    claimed: bool = False
    contested_at: int | None = None
    votes: list[bool] = field(default_factory=list)
    adder_then: int = 0
    outcome: str = ""


@dataclass
class Engine:
    """One Arbius engine. `upgrades`: versions in the order of its Upgraded events."""

    upgrades: list[str]
    rules: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, Solved | None] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    losses: dict[str, int] = field(default_factory=dict)
    odd: set[str] = field(default_factory=set)

    def take(self, log: Log, time: int) -> None:
        """What happens with one log."""
        name, words = name_of("arbius", log), _words(log)
        if name == "Upgraded":
            self.rules |= _VERSIONS.get(self.upgrades.pop(0), {})
        elif name in _SETTERS:
            self.rules[_SETTERS[name]] = int(words[0], 16)
        elif name == "TaskSubmitted":
            self.tasks[words[0]] = None
        elif name == "TaskRetracted":
            self.retracted.add(words[0])
        elif name == "SolutionSubmitted":
            self.tasks[words[1]] = Solved(words[0], time)
        elif name in ("SolutionClaimed", "ContestationSubmitted", "ContestationVote", "ContestationVoteFinish"):
            self._dispute(name, words, time)

    def _dispute(self, name: str, words: list[str], time: int) -> None:
        task = self.tasks[words[0] if name == "ContestationVoteFinish" else words[1]]
        assert task is not None
        if name == "SolutionClaimed":
            task.claimed = True
        elif name == "ContestationSubmitted":
            task.contested_at, task.adder_then = time, self.rules["adder"]
        elif name == "ContestationVote":
            task.votes.append(bool(int(words[2], 16)))
        elif int(words[1], 16) == 0:  # only a finish from the first voter on decides; ties go to the nays
            yeas, nays = task.votes.count(True), task.votes.count(False)
            won = yeas + self.rules["adder"] > nays
            task.outcome = "contestation_succeeded" if won else "contestation_failed"
            if won:
                self.losses[task.solver] = time
            if self.rules["adder"] != task.adder_then:
                self.odd.add("another adder at the finish")
            self.odd |= {"tie"} if yeas == nays else {"won against the votes"} if won and yeas < nays else set()

    def state(self, task_id: str, now: int) -> str:
        """The state of a task at Unix time `now`, with the parameters of the newest log taken."""
        task, rules = self.tasks[task_id], self.rules
        if task_id in self.retracted:
            return "retracted"
        if task is None:
            return "open"
        if task.outcome or task.claimed:
            return task.outcome or "claimed"
        if task.contested_at is not None:
            return "awaiting_finish" if now > self.border(task_id) else "voting"
        if now <= self.border(task_id):
            return "challengeable"
        lost = self.losses.get(task.solver)
        if rules["losses"] and lost is not None and task.at <= lost + rules["claim"] + rules["vote"]:
            return "forfeited"
        return "claimable"

    def border(self, task_id: str) -> int:
        """The last second of the window or vote that a solved task is in; 0: none."""
        task, rules = self.tasks[task_id], self.rules
        if task is None or task.outcome or task.claimed:
            return 0
        if task.contested_at is not None:
            return task.contested_at + rules["vote"] + rules["extension"] * len(task.votes)
        return task.at + rules["claim"]


UNSET, ACTIVE, REVEALING, COMPLETED, FAILED = range(5)
_WORDS = ("UNSET", "ACTIVE", "REVEALING", "COMPLETED", "FAILED")


@dataclass
class PocoTask:
    """A task of iExec; `start` and `unit` (seconds of its category) are those of its deal."""

    start: int
    unit: int
    status: int = UNSET
    consensus: str = ""
    reveal_until: int = 0
    reveals: int = 0
    contributions: dict[str, list[str]] = field(default_factory=dict)  # worker -> hash, status

    def take(self, log: Log, time: int) -> None:
        """What happens with one log that names this task."""
        name, words = name_of("iexec", log), _words(log)
        if name == "TaskInitialize":
            self.status = ACTIVE
        elif name == "TaskContribute":
            self.contributions[words[1]] = [words[2], "CONTRIBUTED"]
        elif name == "TaskConsensus":
            self.status, self.consensus, self.reveal_until = REVEALING, words[1], time + 2 * self.unit
        elif name == "TaskReveal":
            self.contributions[words[1]][1] = "PROVED"
            self.reveals += 1
        elif name == "TaskReopen":
            for worker in self.winners():
                self.contributions[worker][1] = "REJECTED"
            self.status, self.consensus, self.reveal_until = ACTIVE, "", 0
        elif name in ("TaskFinalize", "TaskClaimed"):
            self.status = COMPLETED if name == "TaskFinalize" else FAILED

    def winners(self) -> list[str]:
        """Workers whose hash won, but for those that an earlier reopening rejected."""
        made = self.contributions.items()
        return [worker for worker, (result, status) in made if result == self.consensus and status != "REJECTED"]

    def state(self, now: int) -> str:
        """The status word at Unix time `now`."""
        late = self.status < COMPLETED and now >= self.start + 10 * self.unit
        return "TIMEOUT" if late else _WORDS[self.status]

    def window(self, now: int) -> str | None:
        """What can be done with it at Unix time `now`."""
        if self.status >= COMPLETED:
            return None
        if now >= self.start + 10 * self.unit:
            return "claimable"
        if self.status == UNSET:
            return "waiting"
        if self.status == ACTIVE:
            return "contributing" if now < self.start + 7 * self.unit else "contribution_closed"
        over = now >= self.reveal_until
        if self.reveals:
            return "finalizable" if over or self.reveals == len(self.winners()) else "revealing"
        return "reopenable" if over else "revealing"

    def borders(self) -> list[int]:
        """Deadlines."""
        found = [self.start + 7 * self.unit, self.start + 10 * self.unit]
        return found + [self.reveal_until] * bool(self.reveal_until)
