"""The Arbius part of the devnet against the chain by other roads: getters, trial calls, eth_getLogs, recordings."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from web3 import Web3
from web3.types import RPCEndpoint

from indexer.devnet import Devnet
from indexer.devnet.anvil import Anvil
from indexer.devnet.arbius.compile import contracts
from indexer.devnet.arbius.facts import EARLY, V5_2, V6, Arbius, Engine, Task
from indexer.devnet.arbius.traffic import Traffic
from indexer.devnet.chain import Chain
from indexer.devnet.drive import HISTORY_SECONDS
from indexer.devnet.ledger import Ledger, RawLog
from indexer.devnet.tools import install
from tests.support import needs_recordings, recording
from tests.unit import protocol_events

END = 1_750_000_000
TASKS = 160
TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
STATES = {
    *("open", "retracted", "challengeable", "claimable", "claimed", "forfeited", "voting", "awaiting_finish"),
    *("contestation_succeeded", "contestation_failed"),
}
# The first four bytes of what stops a claim and a count in each state (errors of our contracts).
MISSING, SOON, CLAIMED, COOLING, CONTESTED, UNCONTESTED, RUNNING = (
    "0x" + keccak(text=f"{name}()")[:4].hex()
    for name in (
        *("SolutionMissing", "NotEnoughDelay", "AlreadyClaimed", "ClaimSolutionCooldown", "HasContestation"),
        *("ContestationMissing", "VotingPeriodNotEnded"),
    )
)
TRIALS = {
    "open": (MISSING, UNCONTESTED),
    "retracted": (MISSING, UNCONTESTED),
    "challengeable": (SOON, UNCONTESTED),
    "claimable": ("ok", UNCONTESTED),
    "claimed": (CLAIMED, UNCONTESTED),
    "forfeited": (COOLING, UNCONTESTED),
    "voting": (CONTESTED, RUNNING),
    "awaiting_finish": (CONTESTED, "ok"),
    "contestation_succeeded": (CONTESTED, "ok"),
    "contestation_failed": (CONTESTED, "ok"),
}


class Run:
    """A chain with the traffic of one seed."""

    def __init__(self, anvil: Anvil, seed: int, tasks: int) -> None:
        tools = install()
        self.node = anvil.node
        self.web3 = Web3(Web3.HTTPProvider(anvil.rpc_url))
        self.chain = Chain(anvil.node, Ledger(42161, seed), END - HISTORY_SECONDS)
        self.traffic = Traffic(self.chain, contracts(tools.solc, tools.cache), seed=seed)
        self.traffic.history(tasks)
        self.traffic.recent(tasks, END)

    @property
    def facts(self) -> Arbius:
        return self.traffic.arbius

    @property
    def engines(self) -> list[Engine]:
        return list(self.facts.engines.values())

    def tasks(self) -> list[tuple[Engine, Task]]:
        return [(engine, task) for engine in self.engines for task in engine.tasks.values()]

    def ask(self, engine: Engine, signature: str, *words: str | int, block: int | None = None) -> str:
        """The answer of a getter as hex text, or the first four bytes of why it failed."""
        call = {"to": engine.address, "data": calldata(signature, *words)}
        place = "latest" if block is None else hex(block)
        answer = self.web3.provider.make_request(RPCEndpoint("eth_call"), [call, place])
        return answer["result"] if "result" in answer else answer["error"].get("data", "0x")[:10]

    def get(self, engine: Engine, signature: str, types: str, *words: str | int) -> tuple[Any, ...]:
        """The answer of a getter, decoded; bytes as hex text."""
        answer = self.node.call("eth_call", {"to": engine.address, "data": calldata(signature, *words)}, "latest")
        decoded = decode(types.split(), bytes.fromhex(answer[2:]))
        return tuple("0x" + v.hex() if isinstance(v, bytes) else v for v in decoded)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with Anvil(install().anvil, chain_id=42161, timestamp=END - HISTORY_SECONDS) as anvil:
        yield Run(anvil, 3, TASKS)


def calldata(signature: str, *words: str | int) -> str:
    texts = (hex(word) if isinstance(word, int) else word for word in words)
    return "0x" + keccak(text=signature)[:4].hex() + "".join(text.removeprefix("0x").rjust(64, "0") for text in texts)


def logs_of(run: Run, engine: Engine, event: str) -> list[RawLog]:
    topic = "0x" + keccak(text=event).hex()
    return [log for log in run.chain.ledger.logs_of(engine.address) if log.topics[0] == topic]


def test_logs_are_those_of_the_whole_chain(run: Run) -> None:
    question = {"fromBlock": "0x0", "toBlock": "latest"}
    seen = run.web3.provider.make_request(RPCEndpoint("eth_getLogs"), [question])["result"]
    assert [
        (log["address"], log["topics"], log["data"], log["blockHash"], log["transactionHash"], int(log["logIndex"], 16))
        for log in seen
    ] == [(x.address, x.topics, x.data, x.block_hash, x.tx_hash, x.log_index) for x in run.chain.ledger.logs]


def test_tasks_are_those_that_the_engines_announced_in_their_order(run: Run) -> None:
    assert len(run.tasks()) == TASKS
    for engine in run.engines:
        announced = logs_of(run, engine, "TaskSubmitted(bytes32,bytes32,uint256,address)")
        assert [
            (
                *log.topics[1:3],
                int(log.data, 16),
                "0x" + log.topics[3][26:],
                log.tx_hash,
                log.log_index,
                log.block_number,
            )
            for log in announced
        ] == [(t.task_id, t.model, t.fee, t.sender, t.tx, t.log_index, t.block) for t in engine.tasks.values()]
        assert run.get(engine, "prevhash()", "bytes32") == (engine.prevhash,)


def test_every_task_is_as_the_getter_says(run: Run) -> None:
    nothing = ("0x" + 64 * "0", 0, "0x" + 40 * "0", 0, 0, "0x")
    shape = "(bytes32,uint256,address,uint64,uint8,bytes)"
    types = shape.strip("()").replace(",", " ")
    for engine, task in run.tasks():
        kept = (task.model, task.fee, task.owner, task.blocktime, task.version, task.cid)
        seen = run.get(engine, "tasks(bytes32)", types, task.task_id)
        assert seen == (nothing if task.retracted else kept), task


def test_every_input_is_in_the_calldata(run: Run) -> None:
    for _, task in run.tasks():
        sent = run.web3.eth.get_transaction(Web3.to_bytes(hexstr=task.tx))  # type: ignore[arg-type]
        assert task.input[2:] in sent["input"].hex()
        assert sent["from"].lower() == task.tx_from
        assert (sent["to"].lower() == run.facts.engines[task.engine].address) == (task.sender == task.tx_from)


def test_every_solution_and_commitment_is_as_the_getters_say(run: Run) -> None:
    for engine, task in run.tasks():
        seen = run.get(engine, "solutions(bytes32)", "address uint64 bool bytes", task.task_id)
        if task.solution is None:
            assert int(seen[0], 16) == 0
        else:
            solution = task.solution
            assert seen == (solution.validator, solution.blocktime, task.claim is not None, solution.cid)
            assert run.get(engine, "solutionsStake(bytes32)", "uint256", task.task_id) == (solution.stake,)
            assert task.commitment
            assert task.commitment.block < solution.block
        if task.commitment:
            assert run.get(engine, "commitments(bytes32)", "uint256", task.commitment.hash) == (task.commitment.block,)


def test_every_contestation_is_as_the_getters_say(run: Run) -> None:
    for engine, task in run.tasks():
        seen = run.get(engine, "contestations(bytes32)", "address uint64 uint32 uint256", task.task_id)
        if task.contestation is None:
            assert int(seen[0], 16) == 0
            continue
        c = task.contestation
        settled = c.finishes[-1][1] if c.finishes else 0
        assert seen == (c.contester, c.blocktime, settled, c.slash_amount)
        for side, getter in ((True, "contestationVoteYeas"), (False, "contestationVoteNays")):
            voters = [voter for voter, yea in c.votes if yea == side]
            signature = f"{getter}(bytes32,uint256)"
            assert [run.get(engine, signature, "address", task.task_id, i)[0] for i in range(len(voters))] == voters
            assert run.ask(engine, signature, task.task_id, len(voters)) == "0x"


def test_outcomes_are_those_that_the_payments_show(run: Run) -> None:
    fees = {
        "0x" + keccak(text=f"FeesPaid({types})").hex()
        for types in (4 * ",uint256", ",bytes32,bytes32,address" + 4 * ",uint256")
        for types in (types[1:],)
    }
    by_tx = defaultdict(list)
    for log in run.chain.ledger.logs:
        by_tx[log.tx_hash].append(log)
    seen = Counter[tuple[str, bool]]()
    for engine in run.engines:
        first_later = next(upgrade.block for upgrade in engine.upgrades if upgrade.version != EARLY)
        for log in logs_of(run, engine, "ContestationVoteFinish(bytes32,uint32,uint32)"):
            contestation = engine.tasks[log.topics[1]].contestation
            assert contestation
            assert (int(log.topics[2], 16), int(log.data, 16)) in contestation.finishes
            if int(log.topics[2], 16) == 0 and log.block_number > first_later:
                paid = any(other.topics[0] in fees for other in by_tx[log.tx_hash])
                assert contestation.outcome == ("failed" if paid else "succeeded")
                seen[engine.name, paid] += 1
    assert len(seen) == 4


def test_every_validator_is_as_the_getters_say(run: Run) -> None:
    for engine in run.engines:
        for who, validator in engine.validators.items():
            seen = run.get(engine, "validators(address)", "uint256 uint256 address", who)
            assert seen == (validator.staked, validator.since, who)
            assert run.get(engine, "lastContestationLossTime(address)", "uint256", who) == (validator.last_loss,)
            pending = run.get(engine, "validatorWithdrawPendingAmount(address)", "uint256", who)
            assert pending == (validator.pending(),)
            count = run.get(engine, "pendingValidatorWithdrawRequestsCount(address)", "uint256", who)
            assert count == (len(validator.requests),)
            for r in validator.requests:
                getter = "pendingValidatorWithdrawRequests(address,uint256)"
                kept = (r.unlock_time, r.amount) if r.state == "pending" else (0, 0)
                assert run.get(engine, getter, "uint256 uint256", who, r.count) == kept
    requests = [r for engine in run.engines for v in engine.validators.values() for r in v.requests]
    assert {r.state for r in requests} == {"cancelled", "withdrawn"}


def test_every_model_is_as_the_getters_say(run: Run) -> None:
    for engine in run.engines:
        assert len(engine.models) == len(logs_of(run, engine, "ModelRegistered(bytes32)"))
        for name, model in engine.models.items():
            seen = run.get(engine, "models(bytes32)", "uint256 address uint256 bytes", name)
            assert seen == (model.fee, model.addr, model.rate, model.cid)
            if engine.form != V6:
                continue
            assert run.get(engine, "modelRequiresAllowList(bytes32)", "bool", name) == (model.allow is not None,)
            for who in engine.validators:
                allowed = run.get(engine, "isSolverAllowed(bytes32,address)", "bool", name, who)
                assert allowed == (model.allow is None or who in model.allow,)
            override = run.get(engine, "solutionModelFeePercentageOverride(bytes32)", "uint256", name)
            assert override == (model.fee_override or 0,)


def test_parameters_are_as_the_getters_say_and_absent_where_the_form_lacks_them(run: Run) -> None:
    for engine in run.engines:
        expected = {**engine.params, "accruedFees": engine.accrued_fees, "totalHeld": engine.total_held}
        if engine.form != V6:
            del expected["masterContesterVoteAdder"]
            assert run.ask(engine, "masterContesterVoteAdder()") == "0x"
        for name, value in expected.items():
            assert run.get(engine, f"{name}()", "uint256") == (value,), name
        for name in ("owner", "pauser", "treasury"):
            assert run.get(engine, f"{name}()", "address") == (getattr(engine, name),)
        assert run.ask(engine, "contestationVoteExtensionTime()", block=engine.start_block) == "0x"
        minimum = run.get(engine, "getValidatorMinimum()", "uint256")[0]
        assert 0 < minimum < min(validator.staked for validator in engine.validators.values())


def test_the_state_of_every_task_is_what_the_engine_allows(run: Run) -> None:
    for engine, task in run.tasks():
        claim = run.ask(engine, "claimSolution(bytes32)", task.task_id)
        count = run.ask(engine, "contestationVoteFinish(bytes32,uint32)", task.task_id, 1)
        assert tuple("ok" if answer == "0x" else answer for answer in (claim, count)) == TRIALS[task.state], task


def test_all_states_fates_routes_and_oddities_appear(run: Run) -> None:
    tasks = [task for _, task in run.tasks()]
    assert {task.state for task in tasks} == STATES
    assert {task.route for task in tasks} == {"single", "bulk", "router", "contract"}
    assert {(task.engine, task.engine_version) for task in tasks} == {
        *(("nova", EARLY), ("nova", V5_2), ("one", V5_2), ("one", V6))
    }
    contested = [(task, task.contestation) for task in tasks if task.contestation]
    balance = [(t.engine, c.outcome, sum(1 if yea else -1 for _, yea in c.votes)) for t, c in contested]
    assert any(outcome == "succeeded" and lead < 0 for _, outcome, lead in balance)
    assert any(outcome == "succeeded" and lead == 0 for _, outcome, lead in balance)
    assert any(outcome == "failed" and lead == 0 for _, outcome, lead in balance)
    assert max(len(c.finishes) for _, c in contested) == 3
    assert any(c.finishes and c.finishes[-1][1] > len(c.votes) for _, c in contested)
    crossed = [
        (t.engine, c.outcome)
        for t, c in contested
        for upgrade in run.facts.engines[t.engine].upgrades
        if c.block < upgrade.block and c.outcome and c.finished > run.web3.eth.get_block(upgrade.block)["timestamp"]
    ]
    assert {("nova", "failed"), ("one", "succeeded")} <= set(crossed)
    assert any(task.suggestions for task in tasks)
    assert any(task.claim.by != task.solution.validator for task in tasks if task.claim and task.solution)
    assert any(task.owner != task.tx_from for task in tasks)
    assert any(task.commitment and task.solution and task.commitment.by != task.solution.validator for task in tasks)
    inputs = {bytes.fromhex(task.input[2:]) for task in tasks}
    assert b"" in inputs
    assert any(b"\xff\xfe\x00" in content for content in inputs)
    assert run.chain.ledger.reverted >= 20


def test_the_engines_share_a_model_and_validators_and_are_upgraded_as_told(run: Run) -> None:
    nova, one = run.facts.engines["nova"], run.facts.engines["one"]
    assert len(set(nova.models) & set(one.models)) == 1
    assert len(set(nova.validators) & set(one.validators)) >= 4
    assert set(nova.validators) - set(one.validators)
    assert [u.version for u in nova.upgrades] == [EARLY, V5_2]
    assert [u.version for u in one.upgrades] == [EARLY, V5_2, V6]
    for engine in (nova, one):
        seen = logs_of(run, engine, "Upgraded(address)")
        assert [(log.block_number, "0x" + log.topics[1][26:]) for log in seen] == [
            (upgrade.block, upgrade.implementation) for upgrade in engine.upgrades
        ]
        assert run.chain.ledger.logs_of(engine.address)[0].block_number == engine.start_block


def test_every_event_of_the_protocol_appears(run: Run) -> None:
    seen = {
        log.topics[0]: len(log.topics) - 1 for engine in run.engines for log in run.chain.ledger.logs_of(engine.address)
    }
    expected = {
        line.rsplit(" ", 1)[1]: line.count("[i]")
        for line in protocol_events.ARBIUS.strip().splitlines()
        # Those of the routers, which are not contracts of the protocol proper, have short topics on the page.
        if len(line.rsplit(" ", 1)[1]) == 66
    }
    assert seen == expected


Place = tuple[tuple[str, ...], frozenset[int]]


def sequences(logs: Iterable[tuple[str, str]], engines: Sequence[str], tokens: Sequence[str]) -> Iterator[Place]:
    """The engine's events of one transaction, cut where a task or a claim begins, and before which the token moved.

    Lists of one event repeated, which depend on how many there are, count as one.
    """
    events: list[str] = []
    moves: set[int] = set()
    for address, topic in logs:
        if address in tokens and topic == TRANSFER:
            moves.add(len(events))
        elif address in engines:
            if topic in (SUBMITTED, CLAIM) and (events or moves):
                yield tuple(events), frozenset(moves)
                events, moves = [], set()
            if events[-1:] != [topic]:
                events.append(topic)
    yield tuple(events), frozenset(moves)


SUBMITTED = "0x" + keccak(text="TaskSubmitted(bytes32,bytes32,uint256,address)").hex()
CLAIM = "0x" + keccak(text="SolutionClaimed(address,bytes32)").hex()


@needs_recordings
def test_sequences_of_events_are_among_those_of_the_real_contracts(run: Run) -> None:
    recorded = recording("arbius-dev")
    engines, tokens = (
        [c["address"] for c in recorded["contracts"] if c["protocol"] == protocol]
        for protocol in ("arbius-engine", "erc20")
    )
    by_tx = defaultdict(list)
    for log in recorded["logs"]:
        by_tx[log["transactionHash"]].append((log["address"], log["topics"][0]))
    known: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for logs in by_tx.values():
        for events, moves in sequences(logs, engines, tokens):
            known[events] |= moves
    assert len(known) > 50
    mine = defaultdict(list)
    for log in run.chain.ledger.logs:
        mine[log.tx_hash].append((log.address, log.topics[0]))
    ours = [engine.address for engine in run.engines], [engine.contracts["token"] for engine in run.engines]
    for tx, logs in mine.items():
        for events, moves in sequences(logs, *ours):
            assert events in known, (tx, events)
            assert moves <= known[events], (tx, events, moves)


def test_the_same_seed_sends_the_same_and_another_does_not() -> None:
    texts = []
    for seed in (5, 5, 6):
        with Anvil(install().anvil, chain_id=42161, timestamp=END - HISTORY_SECONDS) as anvil:
            twin = Run(anvil, seed, 30)
            texts.append((twin.facts, [(log.tx_hash, log.topics, log.data) for log in twin.chain.ledger.logs]))
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_the_live_phase_goes_on_with_old_and_new_tasks(run: Run) -> None:
    before, sent = len(run.tasks()), run.chain.ledger.transactions
    claims = sum(task.claim is not None for _, task in run.tasks())
    for _ in range(60):
        run.traffic.live_block(run.chain.head.timestamp + 1)
    assert len(run.tasks()) > before
    assert run.chain.ledger.transactions > sent + 60
    assert sum(task.claim is not None for _, task in run.tasks()) > claims
    # After it, the same comparisons hold.
    test_logs_are_those_of_the_whole_chain(run)
    test_every_solution_and_commitment_is_as_the_getters_say(run)
    test_every_contestation_is_as_the_getters_say(run)
    test_the_state_of_every_task_is_what_the_engine_allows(run)


def test_one_devnet_runs_both_networks_and_keeps_one_ledger() -> None:
    with Devnet(seed=4) as devnet:
        web3 = Web3(Web3.HTTPProvider(devnet.rpc_url))
        devnet.bulk(30)
        assert len(devnet.ledger.tasks) == 30
        assert sum(len(engine.tasks) for engine in devnet.arbius.engines.values()) == 30
        assert abs(devnet.ledger.head_timestamp - time.time()) < 1800
        devnet.live(10.0)
        time.sleep(1.5)
        devnet.pause()
        kept = devnet.snapshot()
        assert kept == devnet.ledger
        assert kept.arbius.head == kept.head
        assert kept.arbius.head_timestamp == kept.head_timestamp
        for engine in kept.arbius.engines.values():
            address = Web3.to_checksum_address(engine.address)
            assert not web3.eth.get_code(address, engine.start_block - 1)
            assert web3.eth.get_code(address, engine.start_block)
            submitted = [log for log in kept.logs_of(engine.address) if log.topics[0] == SUBMITTED]
            assert [log.topics[1] for log in submitted] == list(engine.tasks)
