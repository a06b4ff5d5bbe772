"""A stand-in for K2: made-up tasks in the account store of solders' LiteSVM, behind loopback JSON-RPC.

It is a real account store with real answers of Solana's shape, not a validator: nothing is signed or voted on. Beside
the methods of Solana that a reader needs it has K2's own five (koii.md A2). It can answer late: with the state of an
earlier slot, and say so in `context.slot`, as real nodes do.
"""

import base64
import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from indexer.devnet.koii_accounts import as_borsh, as_json
from indexer.devnet.koii_tasks import Ledger, Task, address
from indexer.devnet.loopback import Answer, Request, serving
from indexer.networks.koii import KOII_PROGRAM, KPL_PROGRAM, base58

FIRST_SLOT = 1000
SECTIONS = {
    "submission": ("submissions", "submissions_audit_trigger"),
    "distribution": (
        "distribution_rewards_submission", "distributions_audit_trigger", "distributions_audit_record",
    ),
    "balance": ("available_balances",),
    "stake": ("stake_list", "ip_address_list"),
}  # fmt: skip
PAST_SLOTS = 40  # how old a stale answer can be
UNKNOWN = (-32601, "Method not found")


class Refused(Exception):
    """An error of JSON-RPC: code and message."""


class Node:
    """The chain and its node. `stale`: share of answers about accounts that are old."""

    def __init__(
        self, seed: int = 1, tasks: int = 4, nodes: int = 8, stale: float = 0.0, slot_seconds: float = 0.4,
        history: int = 0,
    ) -> None:  # fmt: skip
        self.ledger, self.slot, self.stale = Ledger(), FIRST_SLOT, stale
        self.calls: list[str] = []
        self._slot_seconds = slot_seconds
        self._rng, self._fate = random.Random(seed), random.Random(seed + 1)
        self._epoch = int(time.time() - (FIRST_SLOT + history) * slot_seconds)
        self._lock, self._svm = threading.RLock(), LiteSVM()
        self.tasks = {
            task.id: task
            for task in (
                Task(self._rng, self.ledger, f"task {n}", FIRST_SLOT + 7 * n, nodes, kpl=n % 2 == 1)
                for n in range(tasks)
            )
        }
        self._past: deque[tuple[int, dict[str, bytes]]] = deque(maxlen=PAST_SLOTS)
        self.genesis = address(self._rng)
        self._stake_account()
        self._write()
        self.advance(history)

    def time_of_next(self) -> float:
        """Unix time at which the next slot is due."""
        return self._epoch + (self.slot + 1) * self._slot_seconds

    def advance(self, slots: int) -> None:
        """Let `slots` slots pass."""
        for _ in range(slots):
            with self._lock:
                self.slot += 1
                for task in self.tasks.values():
                    task.step(self.slot)
                self._svm.warp_to_slot(self.slot)
                self._write()

    def migrate(self) -> tuple[str, str]:
        """Replace the first task that is active by a new one; the ids of both."""
        with self._lock:
            old = next(task for task in self.tasks.values() if task.tree["is_active"])
            new = Task(self._rng, self.ledger, "successor", self.slot + 5, 6, kpl=old.kpl)
            self.tasks[new.id] = new
            old.migrate(new)
            self._write()
            return old.id, new.id

    def delete(self, task_id: str) -> None:
        """Close the account of a KPL task."""
        with self._lock:
            del self.tasks[task_id]
            self._svm.set_account(Pubkey.from_string(task_id), Account(0, b"", Pubkey.default(), False, 0))
            self._past.clear()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one JSON-RPC request."""
        head = {"jsonrpc": "2.0", "id": request.get("id")}
        method = getattr(self, "_" + str(request.get("method")), None)
        with self._lock:
            self.calls.append(str(request.get("method")))
            try:
                if method is None:
                    raise Refused(*UNKNOWN)
                return {**head, "result": method(*request.get("params", []))}
            except Refused as refused:
                return {**head, "error": {"code": refused.args[0], "message": refused.args[1]}}

    def _write(self) -> None:
        """Put what has changed into the store, and remember how it was."""
        for task in self.tasks.values():
            if task.changed:
                data = as_borsh(task.tree) if task.kpl else as_json(task.tree)
                owner = Pubkey.from_string(KPL_PROGRAM if task.kpl else KOII_PROGRAM)
                self._svm.set_account(Pubkey.from_string(task.id), Account(10**9, data, owner, False, 0))
                task.changed = False
        if self.stale:
            self._past.append((self.slot, {task: self._data(task) for task in self.tasks}))

    def _stake_account(self) -> None:
        """An account of the program that is no task: of those there are many."""
        owner = Pubkey.from_string(KPL_PROGRAM)
        self._svm.set_account(Pubkey(self._rng.randbytes(32)), Account(1, bytes(100), owner, False, 0))

    def _data(self, task_id: str) -> bytes:
        account = self._svm.get_account(Pubkey.from_string(task_id))
        return bytes(account.data) if account else b""

    def _state(self, task_id: str) -> tuple[int, bytes]:
        if self.stale and self._past and self._fate.random() < self.stale:
            slot, held = self._fate.choice(self._past)
            if task_id in held:
                return slot, held[task_id]
        return self.slot, self._data(task_id)

    def _getSlot(self, options: object = None) -> int:
        return self.slot

    def _getGenesisHash(self) -> str:
        return self.genesis

    def _getBlockTime(self, slot: int) -> int:
        if not 0 <= slot <= self.slot:
            raise Refused(-32009, f"Slot {slot} was skipped, or missing in long-term storage")
        return self._epoch + int(slot * self._slot_seconds)

    def _getAccountInfo(self, task_id: str, options: dict[str, Any]) -> dict[str, Any]:
        account = self._svm.get_account(Pubkey.from_string(task_id))
        slot, data = self._state(task_id)
        if account is None or not data:
            return {"context": {"slot": slot}, "value": None}
        part = options.get("dataSlice") or {"offset": 0, "length": len(data)}
        shown = base64.b64encode(data[part["offset"] : part["offset"] + part["length"]]).decode()
        facts = {"executable": False, "lamports": account.lamports, "owner": str(account.owner), "rentEpoch": 0}
        return {"context": {"slot": slot}, "value": {"data": [shown, "base64"], **facts}}

    def _getProgramAccounts(self, program: str, options: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for key, account in self._svm.get_program_accounts(Pubkey.from_string(program)):
            if all(_passes(bytes(account.data), each["memcmp"]) for each in options.get("filters", [])):
                found.append({"pubkey": str(key), "account": {"data": ["", "base64"], "owner": program}})
        return found

    def _getTaskAccountInfo(self, task_id: str, options: dict[str, Any]) -> dict[str, Any]:
        left_out = [part for name, parts in SECTIONS.items() if not options.get(name) for part in parts]
        return self._part(task_id, lambda tree: tree | {part: {} for part in left_out})

    def _getTaskSubmissionInfo(self, task_id: str, options: dict[str, Any]) -> dict[str, Any]:
        return self._rounds(task_id, SECTIONS["submission"], options["round"])

    def _getTaskDistributionInfo(self, task_id: str, options: dict[str, Any]) -> dict[str, Any]:
        return self._rounds(task_id, SECTIONS["distribution"], options["round"])

    def _getMyTaskSubmissionRoundInfo(self, task_id: str, staker: str, options: dict[str, Any]) -> dict[str, Any]:
        slot, data = self._state(task_id)
        entry = json.loads(data)["submissions"].get(str(options["round"]), {}).get(staker)
        return {"context": {"slot": slot}, "value": {"data": entry}}

    def _getMyTaskStakeInfo(self, task_id: str, staker: str, options: object = None) -> dict[str, Any]:
        slot, data = self._state(task_id)
        stakes = json.loads(data)["stake_list"]
        if staker not in stakes:
            raise Refused(-32000, "No stake available on this task")
        return {"context": {"slot": slot}, "value": {"data": stakes[staker]}}

    def _rounds(self, task_id: str, parts: tuple[str, ...], number: int) -> dict[str, Any]:
        def cut(tree: dict[str, Any]) -> dict[str, Any]:
            if number < 0:
                return {part: tree[part] for part in parts}
            if str(number) not in tree[parts[0]]:
                raise Refused(-32000, f"round {number} not found")
            return {part: {n: e for n, e in tree[part].items() if n == str(number)} for part in parts}

        return self._part(task_id, cut)

    def _part(self, task_id: str, cut: Any) -> dict[str, Any]:
        slot, data = self._state(task_id)
        if not data:
            return {"context": {"slot": slot}, "value": None}
        text = json.dumps(cut(json.loads(data)), separators=(",", ":")).encode()
        return {"context": {"slot": slot}, "value": {"data": [base64.b64encode(text).decode(), "base64"]}}


def _passes(data: bytes, memcmp: dict[str, Any]) -> bool:
    wanted = base58.decode(memcmp["bytes"])
    return data[memcmp["offset"] :][: len(wanted)] == wanted


@contextmanager
def live(seed: int, slots_per_second: float = 10.0, history: int = 300) -> Iterator[str]:
    """A node whose slots pass by themselves, `history` of them at once; its URL."""
    seconds, stop = 1 / slots_per_second, threading.Event()
    node = Node(seed=seed, slot_seconds=seconds, history=history)

    def pass_time() -> None:
        while not stop.wait(max(0.0, node.time_of_next() - time.time())):
            node.advance(1)

    clock = threading.Thread(target=pass_time, daemon=True)
    with served(node) as url:
        clock.start()
        try:
            yield url
        finally:
            stop.set()
            clock.join()


@contextmanager
def served(node: Node) -> Iterator[str]:
    """`node` on a free port of the loopback; its URL."""

    def answer(request: Request) -> Answer:
        asked = json.loads(request.body)
        found = [node.answer(each) for each in asked] if isinstance(asked, list) else node.answer(asked)
        return Answer(json.dumps(found).encode())

    with serving(answer) as url:
        yield url
