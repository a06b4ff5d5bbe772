"""What can happen to one task: the flows of iexec.md, section 7, each a generator of transactions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from eth_utils.crypto import keccak

from indexer.devnet.abi import ZERO_ADDRESS
from indexer.devnet.chain import Block, Tx
from indexer.devnet.ledger import ACTIVE, REVEALING, UNSET, Deal, Task
from indexer.devnet.orders import sign_message
from indexer.devnet.world import Flow, World


class _Missed(Exception):
    """A deadline passed before the flow came to it; the task is left to its claim."""


@dataclass
class Job:
    """A task with what its flow needs to know. `digest` is what honest workers find."""

    world: World
    deal: Deal
    task: Task
    results: bytes
    callback: bytes
    digest: bytes
    workers: list[str] = field(default_factory=list)

    @property
    def task_id(self) -> bytes:
        return bytes.fromhex(self.task.task_id[2:])

    @property
    def needs_enclave(self) -> bool:
        return bytes.fromhex(self.deal.tag[2:])[31] & 1 == 1

    def hub(self, sender: str, function: str, *arguments: object, effect: Callable[[], None]) -> list[Tx]:
        return [self.world.hub(sender, function, *arguments, effect=effect)]

    def pause(self) -> int:
        """When the next step is taken: at once, or after the time that a worker computes."""
        span = max(1, (self.task.timeref or self.world.ledger.categories[self.deal.category].work_clock_time_ref) // 8)
        return self.world.now + (self.world.rng.randint(1, span) if self.world.rng.random() < 0.4 else 0)


def make_job(world: World, deal: Deal, task: Task) -> Job:
    """Decide what the task's result will be: its bytes on chain, its callback bytes, its digest."""
    callback = world.random_bytes(32 * world.rng.randint(1, 3)) if deal.callback != ZERO_ADDRESS else b""
    digest = keccak(callback) if callback else world.random_bytes(32)
    workers = world.rng.sample(world.people["worker"], len(world.people["worker"]))
    return Job(world, deal, task, _result_bytes(world, deal, task), callback, digest, workers)


def _result_bytes(world: World, deal: Deal, task: Task) -> bytes:
    """Result bytes as workers write them (iexec.md, section 4), and some that are no text at all."""
    if deal.callback != ZERO_ADDRESS:
        return f'{{ "storage": "ethereum", "location": "{deal.callback}" }}'.encode()
    kind = world.rng.choice(("ipfs", "ipfs", "ipfs", "dropbox", "empty", "binary"))
    if kind == "ipfs":
        return f'{{ "storage": "ipfs", "location": "/ipfs/Qm{world.random_bytes(22).hex()}" }}'.encode()
    if kind == "dropbox":
        return f'{{ "storage": "dropbox", "location": "/results/{task.task_id}" }}'.encode()
    return b"" if kind == "empty" else b"\xff\xfe\x00\x80" + world.random_bytes(12)


def initialize(job: Job) -> Flow:
    """UNSET -> ACTIVE, unless the deal's array call has done it."""
    if job.task.status == UNSET:
        model, task = job.world.model, job.task
        deal_id = bytes.fromhex(job.deal.deal_id[2:])
        sender = job.deal.workerpool_owner
        yield job.hub(sender, "initialize", deal_id, task.idx, effect=lambda: model.initialize(task))


def nominal(job: Job) -> Flow:
    """Workers agree, all reveal, the scheduler finalises."""
    yield from _agree(job, job.digest)
    yield from _reveal(job)
    yield from _finalize(job)


def fast(job: Job) -> Flow:
    """The only worker contributes and finalises in one transaction; needs trust 1."""
    world, task, worker = job.world, job.task, job.workers.pop()
    challenge, enclave_sign, authorization = _signatures(job, worker, job.digest)
    yield job.pause()
    _in_time(world.now < task.contribution_deadline)
    arguments = (job.task_id, job.digest, job.results, job.callback, challenge, enclave_sign, authorization)
    tx = world.hub(worker, "contributeAndFinalize", *arguments)

    def effect(block: Block) -> None:
        world.model.contribute_and_finalize(task, worker, job.digest, challenge, job.results, job.callback, block)

    tx.effect = effect
    yield [tx]


def liar(job: Job) -> Flow:
    """One worker lies first; the others outvote it and it loses its stake."""
    yield [_contribution(job, job.workers.pop(), job.world.random_bytes(32))]
    yield from nominal(job)


def unrevealed(job: Job) -> Flow:
    """One winner keeps silent; the task is finalised without it after the reveal deadline."""
    yield from _agree(job, job.digest)
    yield from _reveal(job, silent=1)
    yield job.task.reveal_deadline
    yield from _finalize(job)


def reopened(job: Job) -> Flow:
    """No winner reveals; the scheduler reopens the task and other workers complete it."""
    yield from stalled_reopened(job)
    yield from nominal(job)


def stalled_reopened(job: Job) -> Flow:
    """No winner reveals; the task is reopened and nobody comes."""
    model, task = job.world.model, job.task
    yield from _agree(job, job.digest)
    yield job.task.reveal_deadline
    _in_time(job.world.now < task.final_deadline)
    yield job.hub(job.deal.workerpool_owner, "reopen", job.task_id, effect=lambda: model.reopen(task))


def idle(_: Job) -> Flow:
    """Nobody contributes."""
    yield from ()


def stalled(job: Job) -> Flow:
    """One contribution, which is not enough; needs trust above 1."""
    yield [_contribution(job, job.workers.pop(), job.digest)]


def hidden(job: Job) -> Flow:
    """Workers agree, then nobody reveals."""
    yield from _agree(job, job.digest)


FLOWS: dict[str, Callable[[Job], Flow]] = {
    "nominal": nominal,
    "fast": fast,
    "liar": liar,
    "unrevealed": unrevealed,
    "reopened": reopened,
    "stalled_reopened": stalled_reopened,
    "idle": idle,
    "stalled": stalled,
    "hidden": hidden,
}
NEVER_STARTED = "unset"


def work(job: Job) -> Flow:
    """The whole life of a task but its claim. A missed deadline ends it early; `unset` tasks have none."""
    if job.task.flow == NEVER_STARTED:
        return
    try:
        yield from initialize(job)
        yield from FLOWS[job.task.flow](job)
    except _Missed:
        return


def _in_time(condition: bool) -> None:
    if not condition:
        raise _Missed


def _agree(job: Job, digest: bytes) -> Flow:
    """Workers contribute the same digest until there is a consensus."""
    while job.task.status == ACTIVE:
        yield job.pause()
        _in_time(bool(job.workers))
        yield [_contribution(job, job.workers.pop(), digest)]


def _reveal(job: Job, silent: int = 0) -> Flow:
    """All winners but `silent` ones reveal, all in one block; at least one does."""
    world, task = job.world, job.task
    winners = [worker for worker in task.contributors if world.model.wins(task, worker)]
    yield job.pause()
    agreed = task.consensus_value == "0x" + keccak(job.task_id + job.digest).hex()
    _in_time(task.status == REVEALING and agreed and world.now < task.reveal_deadline)
    yield [_revelation(job, worker) for worker in winners[: max(1, len(winners) - silent)]]


def _revelation(job: Job, worker: str) -> Tx:
    model, task, digest = job.world.model, job.task, job.digest
    return job.world.hub(worker, "reveal", job.task_id, digest, effect=lambda: model.reveal(task, worker, digest))


def _finalize(job: Job) -> Flow:
    model, task = job.world.model, job.task
    _in_time(job.world.now < task.final_deadline)
    arguments = (job.task_id, job.results, job.callback)
    effect = partial(model.finalize, task, job.results, job.callback)
    yield job.hub(job.deal.workerpool_owner, "finalize", *arguments, effect=effect)


def _contribution(job: Job, worker: str, digest: bytes) -> Tx:
    world, task = job.world, job.task
    _in_time(task.status == ACTIVE and world.now < task.contribution_deadline)
    challenge, enclave_sign, authorization = _signatures(job, worker, digest)
    result_hash, seal = _hash_and_seal(job, worker, digest)
    tx = world.hub(worker, "contribute", job.task_id, result_hash, seal, challenge, enclave_sign, authorization)
    tx.effect = lambda block: world.model.contribute(task, worker, digest, challenge, block)
    return tx


def _hash_and_seal(job: Job, worker: str, digest: bytes) -> tuple[bytes, bytes]:
    return keccak(job.task_id + digest), keccak(bytes.fromhex(worker[2:]) + job.task_id + digest)


def _signatures(job: Job, worker: str, digest: bytes) -> tuple[str, bytes, bytes]:
    """Enclave challenge and signature (nobody's and empty without TEE), and the scheduler's authorisation."""
    world, challenge, enclave_sign = job.world, ZERO_ADDRESS, b""
    if job.needs_enclave:
        challenge = world.person("enclave")
        enclave_sign = sign_message(world.keys[challenge], b"".join(_hash_and_seal(job, worker, digest)))
    allowed = bytes.fromhex(worker[2:]) + job.task_id + bytes.fromhex(challenge[2:])
    return challenge, enclave_sign, sign_message(world.keys[job.deal.workerpool_owner], allowed)
