"""web3's own decoder, and the values that a codec must give for what web3 says. Nothing here is of the indexer."""

import copy
from typing import Any

from eth_utils.abi import event_abi_to_log_topic
from web3 import Web3

from tests.unit.protocol_events import Fact

WEB3 = Web3()


def json_abi(fact: Fact) -> dict[str, Any]:
    """The JSON ABI of the event as the page states it."""
    return {"type": "event", "anonymous": False, "name": fact.name, "inputs": list(copy.deepcopy(fact.inputs))}


def topic0(fact: Fact) -> str:
    return "0x" + event_abi_to_log_topic(json_abi(fact)).hex()


def decode(fact: Fact, topics: list[str], data: str) -> list[Any] | None:
    """The values of the arguments in order, None when web3 refuses the log.

    Text is read as bytes: web3 raises on text that is not UTF-8, which the codecs keep on purpose. The encoding of
    both is the same; as it changes the topic0, the right one is put in where the log has the right one.
    """
    event, text_topic0, bytes_topic0 = _event(fact)
    if topics and topics[0] == text_topic0:
        topics = [bytes_topic0, *topics[1:]]
    log = {"topics": topics, "data": data, "address": "0x" + "00" * 20, "blockHash": "0x" + "00" * 32}
    log |= {"blockNumber": 0, "logIndex": 0, "transactionIndex": 0, "transactionHash": "0x" + "00" * 32}
    try:
        args = event.process_log(log)["args"]
    except Exception:
        return None
    return [args[part["name"]] for part in fact.inputs]


def _event(fact: Fact) -> tuple[Any, str, str]:
    if str(fact) not in _EVENTS:
        abi = json_abi(fact)
        for part in (part for outer in abi["inputs"] for part in (outer, *outer.get("components", ()))):
            part["type"] = part["type"].replace("string", "bytes")
        event = WEB3.eth.contract(abi=[abi]).events[fact.name]()
        _EVENTS[str(fact)] = event, topic0(fact), "0x" + event_abi_to_log_topic(abi).hex()
    return _EVENTS[str(fact)]


_EVENTS: dict[str, tuple[Any, str, str]] = {}


def expected(fact: Fact, values: list[Any]) -> dict[str, Any]:
    """By name of the argument in the ABI: what a codec gives for it. `<name>_raw` is that of a text."""
    row: dict[str, Any] = {}
    for part, value in zip(fact.inputs, values, strict=True):
        if "components" in part:
            row[part["name"]] = _document(part, value)
        elif part["type"] == "string":
            row[part["name"]], row[part["name"] + "_raw"] = _text(value)
        elif part["type"] == "address":
            row[part["name"]] = bytes.fromhex(value[2:])
        else:
            row[part["name"]] = value
    return row


def _text(raw: bytes) -> tuple[str | None, bytes | None]:
    try:
        text = raw.decode("utf-8", errors="strict")
    except UnicodeDecodeError:
        return None, raw
    return (None, raw) if "\0" in text else (text, None)


def _document(part: dict[str, Any], value: Any) -> Any:
    if part["type"].endswith("[]"):
        return [_document(part | {"type": part["type"][:-2]}, item) for item in value]
    if "components" not in part:
        return "0x" + value.hex() if isinstance(value, bytes) else value.lower() if isinstance(value, str) else value
    document: dict[str, Any] = {}
    for inner in part["components"]:
        found = value[inner["name"]]
        if inner["type"] == "string":
            document[inner["name"]], raw = _text(found)
            document |= {} if raw is None else {inner["name"] + "_raw": "0x" + raw.hex()}
        else:
            document[inner["name"]] = _document(inner, found)
    return document
