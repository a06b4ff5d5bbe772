"""iExec: what no event carries, by the hub's views and the getters of apps, datasets and workerpools.

Source: github.com/iExecBlockchainComputing/PoCo, contracts/libs/IexecLibCore_v5.sol and contracts/registries. Terms of
a deal and of a contribution never change, so any later block tells them.
"""

from collections.abc import Callable, Sequence

from indexer.networks.composite import text
from indexer.networks.facts import Asker, Facts, Key, Unreadable, Words, asked
from indexer.rpc.multicall import View
from indexer.rpc.transactions import Transaction

VIEW_DEAL, VIEW_DEAL_BOOST, RESULT_FOR, VIEW_CONTRIBUTION = "b74861b2", "63fbac17", "d09cc57e", "e741363b"
# m_appName m_appType m_appMultiaddr m_appChecksum m_appMREnclave, m_datasetName …, m_workerpoolDescription
APP = ("358982a3", "f8c2ceb3", "39e75d45", "84aaf12e", "e30d26a8")
DATASET = ("0847c431", "a61ca6c5", "1ba99d7e")
WORKERPOOL = ("584feb3a",)
PARAMS = 15  # words of a Deal before its params: three resources of three words, and six terms
HEADS = (21, 22)  # words of a Deal: without and with the sponsor (5.5.0)


def _deal_views(key: Key) -> list[View]:
    getter = VIEW_DEAL_BOOST if key["notice"] else VIEW_DEAL
    return [View(key["emitter"] or key["address"], asked(getter, key["dealid"]))]


def _read_deal(key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """struct Deal: app, dataset and workerpool (pointer, owner, price each), then the terms.

    None where the start and the number of tasks are not those of the events: it is no answer about this deal.
    """
    if key["notice"]:
        return _boost_deal(key, answers[0])
    if answers[0] is None:
        return None
    deal = Words(answers[0]).inner(0)
    if deal.number(PARAMS) not in [32 * words for words in HEADS]:
        raise Unreadable
    start, size = deal.number(16), deal.number(18)
    if key["start_time"] is not None and start != int(key["start_time"].timestamp()):
        return None
    if start == 0 or key["bot_size"] not in (None, size):
        return None
    params, raw = text(deal.content(PARAMS))
    return {
        "app": deal.address(0), "app_owner": deal.address(1), "app_price": deal.number(2),
        "dataset": deal.address(3), "dataset_owner": deal.address(4), "dataset_price": deal.number(5),
        "workerpool_price": deal.number(8), "trust": deal.number(9), "category": deal.number(10),
        "tag": deal.word(11), "requester": deal.address(12), "beneficiary": deal.address(13),
        "callback": deal.address(14), "params": params, "params_raw": raw,
        "worker_stake": deal.number(19), "scheduler_reward_ratio": deal.number(20),
    }  # fmt: skip


def _boost_deal(key: Key, answer: bytes | None) -> Facts:
    """A deal of PoCo Boost: by SchedulerNoticeBoost, and by viewDealBoost as long as the hub has it.

    struct DealBoost: owner and price of app, dataset and workerpool, requester, workerReward, callback, …
    """
    notice = key["notice"]
    raw = {name: notice[name] and bytes.fromhex(notice[name]) for name in ("app", "dataset", "tag", "beneficiary")}
    unreadable = notice["params_raw"]
    facts: Facts = raw | {
        "category": int(notice["category"]), "params": notice["params"],
        "params_raw": None if unreadable is None else bytes.fromhex(unreadable),
        "requester": key["payer"] if key["sponsor"] is None else None, "enriched_from": "event",
    }  # fmt: skip
    deal = Words(answer or b"")
    if answer is None or deal.address(6) == bytes(20):
        return facts
    return facts | {
        "app_owner": deal.address(0), "app_price": deal.number(1),
        "dataset_owner": deal.address(2), "dataset_price": deal.number(3), "workerpool_price": deal.number(5),
        "requester": deal.address(6), "callback": deal.address(8), "enriched_from": "event, eth_call",
    }  # fmt: skip


def _callback_views(key: Key) -> list[View]:
    return [View(key["address"], asked(RESULT_FOR, key["taskid"]))]


def _read_callback(_key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """resultFor(taskid): resultsCallback of a completed task. It reverts for any other."""
    return None if answers[0] is None else {"results_callback": Words(answers[0]).content(0)}


def _contribution_views(key: Key) -> list[View]:
    return [View(key["address"], asked(VIEW_CONTRIBUTION, key["taskid"], key["worker"]))]


def _read_contribution(key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """struct Contribution { status; bytes32 resultHash, resultSeal; address enclaveChallenge; uint256 weight }"""
    if answers[0] is None:
        return None
    words = Words(answers[0])
    if words.number(0) == 0 or key["result_hash"] not in (None, words.word(1)):
        return None
    return {"result_seal": words.word(2), "enclave_challenge": words.address(3), "weight": words.number(4)}


def _entry(kind: str, selectors: Sequence[str]) -> Asker:
    of_app = ("name", "type", "multiaddr", "checksum", "mrenclave")
    names = ("name", "multiaddr", "checksum") if kind == "dataset" else of_app

    def views(key: Key) -> list[View]:
        return [View(key[kind], asked(selector)) for selector in selectors]

    def read(_key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
        told = dict(zip(names, answers, strict=False))
        name = told["name"]
        if name is None:
            return None
        title, raw = text(Words(name).content(0))
        facts: Facts = {"kind": kind, "name": title, "name_raw": raw}
        return facts | {what: _DECODE[what](answer) for what, answer in told.items() if what in _DECODE and answer}

    return Asker(views, read)


_DECODE: dict[str, Callable[[bytes], object]] = {
    "type": lambda answer: text(Words(answer).content(0))[0],
    "multiaddr": lambda answer: Words(answer).content(0),
    "checksum": lambda answer: Words(answer).word(0),
    "mrenclave": lambda answer: Words(answer).content(0),
}

ASKERS: dict[str, Asker] = {
    "deals": Asker(_deal_views, _read_deal),
    "tasks": Asker(_callback_views, _read_callback),
    "contributions": Asker(_contribution_views, _read_contribution),
    "apps": _entry("app", APP),
    "datasets": _entry("dataset", DATASET),
    "workerpools": _entry("workerpool", WORKERPOOL),
}
"""By the name of the entity's table."""
