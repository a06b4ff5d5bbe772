"""Ready transactions that need more than the database knows, and one for many tasks. Nothing is signed or sent.

Source of the functions: iexec.md, sections 3 and 4 (PoCo, contracts/interfaces/IexecPoco2.sol).
"""

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from indexer.errors import UsageError
from indexer.query.rows import Call, Claimable


def finalize(row: Claimable, results: bytes, callback: bytes = b"") -> Call:
    """The transaction that finalizes an iExec task with its results, which only its scheduler knows.

    `callback`: what the deal's callback contract is handed; the hub compares its hash with the consensus. Raises
    UsageError for a row that is not to be finalized.
    """
    if row.action != "finalize" or row.task_id is None:
        raise UsageError(f"Task {row.task_id} is not to be finalized: {row.action} is what helps {row.account}.")
    arguments = (bytes.fromhex(row.task_id[2:]), results, callback)
    return _call(row, "finalize(bytes32,bytes,bytes)", arguments)


def claim_all(rows: Sequence[Claimable]) -> list[Call]:
    """One transaction per hub that claims all of these timed-out iExec tasks that were initialized.

    Each task counts once, whoever gains by it. Rows of other kinds have their own `call` and are left out.
    """
    first = {}
    for row in rows:
        if row.network == "iexec" and row.call_data is not None and row.call_data.startswith(_selector(CLAIM)):
            first[row.chain_id, row.contract, row.task_id] = row
    hubs: dict[tuple[int, str], list[Claimable]] = {}
    for row in first.values():
        hubs.setdefault((row.chain_id, row.contract), []).append(row)
    return [_call(some[0], "claimArray(bytes32[])", ([bytes.fromhex((r.task_id or "")[2:]) for r in some],))
            for some in hubs.values()]  # fmt: skip


CLAIM = "claim(bytes32)"


def _selector(signature: str) -> str:
    return "0x" + keccak(text=signature)[:4].hex()


def _call(row: Claimable, signature: str, arguments: Sequence[object]) -> Call:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return Call(row.chain_id, row.contract, _selector(signature) + encode(types, arguments).hex(), row.sender)
