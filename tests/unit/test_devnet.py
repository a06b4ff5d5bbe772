"""The devnet's own arithmetic, against other libraries and published examples."""

import random
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from indexer.devnet.abi import create2_address, created_address
from indexer.devnet.ledger import Account as HubAccount
from indexer.devnet.ledger import Ledger, RawLog, Task
from indexer.devnet.orders import (
    NO_DATASET,
    AnyOrder,
    AppOrder,
    DatasetOrder,
    RequestOrder,
    WorkerpoolOrder,
    deal_id,
    order_hash,
    sign,
    sign_message,
    task_id,
)
from indexer.devnet.plans import EVERY_KIND, settled_plans, unsettled_plans
from indexer.devnet.poco import _domain_separator
from indexer.devnet.work import FLOWS, NEVER_STARTED
from indexer.devnet.world import address_of, new_key

HUB = "0x098bfcb1e50ebca0baa92c12ea0c3f045a1ad9f0"
DOMAIN = {"name": "iExecODB", "version": "5.0.0", "chainId": 42161, "verifyingContract": HUB}
TYPES = {"tag": "bytes32", "salt": "bytes32", "params": "string", "volume": "uint256", "trust": "uint256"}
TYPES |= {"category": "uint256", "appprice": "uint256", "datasetprice": "uint256", "workerpoolprice": "uint256"}
TYPES |= {"appmaxprice": "uint256", "datasetmaxprice": "uint256", "workerpoolmaxprice": "uint256"}


def sample(kind: type[AnyOrder], seed: int) -> Any:
    rng = random.Random(seed)
    values: dict[str, object] = {"params": f'{{"iexec_args": "é {seed}"}}', "sign": b""}
    for name in kind._fields[:-1]:
        form = TYPES.get(name, "address")
        if form == "uint256":
            values[name] = rng.getrandbits(rng.choice((8, 64, 256)))
        elif form == "bytes32":
            values[name] = rng.randbytes(32)
        elif form == "address":
            values[name] = "0x" + rng.randbytes(20).hex()
    return kind(**{name: values[name] for name in kind._fields})  # type: ignore[arg-type]


def test_order_hashes_are_those_of_eip_712() -> None:
    separator = _domain_separator(42161, HUB)
    for kind in (AppOrder, DatasetOrder, WorkerpoolOrder, RequestOrder):
        for seed in range(5):
            order = sample(kind, seed)
            types = {kind.__name__: [{"name": n, "type": TYPES.get(n, "address")} for n in kind._fields[:-1]]}
            message = {name: getattr(order, name) for name in kind._fields[:-1]}
            signable = encode_typed_data(DOMAIN, types, message)
            assert order_hash(order, separator) == keccak(b"\x19\x01" + signable.header + signable.body)
    assert order_hash(NO_DATASET, separator) == bytes(32)


def test_signatures_recover_to_the_signer() -> None:
    key = new_key(1, "somebody")
    assert new_key(1, "somebody") == key != new_key(2, "somebody")
    digest = keccak(b"order")
    assert Account._recover_hash(digest, signature=sign(key, digest)).lower() == address_of(key)
    wrapped = keccak(b"\x19Ethereum Signed Message:\n32" + keccak(b"worker, task"))
    assert Account._recover_hash(wrapped, signature=sign_message(key, b"worker, task")).lower() == address_of(key)


def test_created_addresses() -> None:
    sender = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert created_address(sender, 0) == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    for nonce in (1, 2, 0x7F, 0x80, 0xFF, 0x100, 10**6):
        expected = keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))[12:]
        assert created_address(sender, nonce) == "0x" + expected.hex()


def test_create2_examples_of_eip_1014() -> None:
    assert create2_address("0x" + 20 * "00", bytes(32), keccak(b"\0")) == "0x4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"
    factory, salt = "0x00000000000000000000000000000000deadbeef", bytes.fromhex("cafebabe".rjust(64, "0"))
    address = create2_address(factory, salt, keccak(bytes.fromhex("deadbeef")))
    assert address == "0x60f3f640a8508fc6a86d45df051962668e1e8ac7"


def test_ids_chain_two_words() -> None:
    assert deal_id(b"\1" * 32, 5) == keccak(b"\1" * 32 + bytes(31) + b"\5")
    assert task_id(b"\2" * 32, 256) == keccak(b"\2" * 32 + bytes(30) + b"\1\0")


@given(st.integers(0, 10**6), st.integers(0, 300))
def test_plans_have_the_tasks_asked_for(seed: int, tasks: int) -> None:
    for make in (settled_plans, unsettled_plans):
        plans = make(random.Random(seed), tasks)
        assert sum(len(plan.flows) for plan in plans) == tasks
        assert all(plan.flows for plan in plans)


def test_the_first_sixty_tasks_hold_every_flow() -> None:
    flows = [flow for plan in EVERY_KIND for flow in plan.flows]
    assert len(flows) <= 55
    assert set(flows) == {*FLOWS, NEVER_STARTED}
    for plan in EVERY_KIND:
        assert not (plan.replicated and "fast" in plan.flows)
        assert plan.replicated or not {"liar", "stalled", "unrevealed"} & set(plan.flows)


def test_a_ledger_survives_json() -> None:
    ledger = Ledger(42161, 1, contracts={"hub": HUB}, start_block=2, head=3)
    ledger.logs.append(RawLog(HUB, ["0x" + 64 * "1"], "0x", 3, "0x" + 64 * "2", 99, "0x" + 64 * "3", 0, 1))
    ledger.tasks["0xaa"] = Task("0xaa", "0xbb", 4, "nominal", contributors=[HUB])
    ledger.accounts[HUB] = HubAccount(2**80, 1, 5)
    assert Ledger.from_json(ledger.to_json()) == ledger
    assert ledger.logs_of(HUB.upper().replace("0X", "0x")) == ledger.logs
