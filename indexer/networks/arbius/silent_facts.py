"""Arbius: what an engine changes without an event, by its getters (V2_EngineV5_2.sol, V2_EngineV6.sol)."""

from collections.abc import Sequence

from eth_utils.crypto import keccak

from indexer.networks.facts import Asker, Facts, Key, Words, asked
from indexer.rpc.multicall import View
from indexer.rpc.transactions import Transaction
from schema.silent_facts import ADDRESSES, PARAMETERS

NAMES = (*PARAMETERS, *ADDRESSES)


def selector(signature: str) -> str:
    """The first four bytes of a call as hex text."""
    return keccak(text=signature)[:4].hex()


def _getter(column: str) -> str:
    """`min_claim_solution_time` is told by minClaimSolutionTime()."""
    first, *rest = column.split("_")
    return selector(f"{first}{''.join(word.capitalize() for word in rest)}()")


_GETTERS = [asked(_getter(name)) for name in NAMES]
HAS_OVERRIDE = selector("hasSolutionModelFeePercentageOverride(bytes32)")
OVERRIDE = selector("solutionModelFeePercentageOverride(bytes32)")


def _parameter_views(key: Key) -> list[View]:
    return [View(key["address"], data) for data in _GETTERS]


def _read_parameters(_key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """None where the engine answers nothing at all."""
    told = {
        name: None if answer is None else Words(answer).address(0) if name in ADDRESSES else Words(answer).number(0)
        for name, answer in zip(NAMES, answers, strict=True)
    }
    return told if any(value is not None for value in told.values()) else None


def _override_views(key: Key) -> list[View]:
    return [View(key["address"], asked(getter, key["model_id"])) for getter in (HAS_OVERRIDE, OVERRIDE)]


def _read_override(_key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    if answers[0] is None or answers[1] is None:
        return None
    has = bool(Words(answers[0]).number(0))
    return {"has_override": has, "fee_override": Words(answers[1]).number(0) if has else None}


ASKERS: dict[str, Asker] = {
    "parameter_facts": Asker(_parameter_views, _read_parameters),
    "override_facts": Asker(_override_views, _read_override),
}
"""By the name of the table of facts: their entities have other facts, too."""
