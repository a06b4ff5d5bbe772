"""Every provider text that has been seen, as it was sent, and the error that it must become."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from indexer.errors import NotThereYet, RateLimited, RpcRefused, ServerFault, TaskscanError, TooLarge
from indexer.rpc import limits
from indexer.rpc.dialects import ROWS

ALCHEMY_SIZE = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the "
    "response size, or you can request any block range with a cap of 10K logs in the response. Based on your "
    "parameters and the response size limit, this block range should work: [0x0, 0x133e71]"
)
ALCHEMY_RANGE = (
    "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range "
    "should work: [0x123c9b2, 0x123cba5]"
)
ALCHEMY_FREE = (
    "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Upgrade to PAYG for "
    "expanded block range."
)
BLOCKPI = (
    "eth_getLogs is limited to 1024 block range. Please check the parameter requirements at  https://docs.blockpi.io"
)
DRPC_BATCH = (
    "Batch of more than 3 requests are not allowed on free tier, to use this feature register paid account at drpc.org"
)
ALCHEMY_CU = (
    "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore "
    "this message."
)
INFURA_RATE = {"rate": {"allowed_rps": 5, "backoff_seconds": 30, "current_rps": 5.2}, "see": "https://infura.io"}
BLAST = {"range": "the range 55074203 - 55124202 exceeds the range allowed for your plan (49999 > 2000)."}
TENDERLY = {"error_id": "4ed94073", "payload": "range 9009594 is bigger than range limit 2000"}
INFURA_DATA = {"from": "0xCB3D", "limit": 10000, "to": "0x7B737"}

TOO_LARGE: list[tuple[str, int | None, str, Any, dict[str, Any]]] = [
    ("alchemy size", -32602, ALCHEMY_SIZE, None, {"max_results": 10_000, "upto": 0x133E71}),
    ("alchemy range", -32600, ALCHEMY_RANGE, None, {"max_blocks": 500, "upto": 0x123CBA5}),
    ("alchemy free", -32600, ALCHEMY_FREE, None, {"max_blocks": 10}),
    ("alchemy old", -32602, "Log response size exceeded. Please reduce query block range.", None, {}),
    (
        "infura results",
        -32005,
        "query returned more than 10000 results. Try with this block range [0xCB3D, 0x7B737].",
        INFURA_DATA,
        {"max_results": 10_000, "upto": 0x7B737},
    ),
    ("infura range", -32602, "range 1000000 exceeds limit of 10000", None, {"max_blocks": 10_000}),
    ("infura time", -32005, "query timeout exceeded", None, {}),
    ("quicknode range", -32614, "eth_getLogs is limited to a 10,000 range", None, {"max_blocks": 10_000}),
    (
        "quicknode old",
        -32602,
        "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range",
        None,
        {"max_blocks": 10_000},
    ),
    ("quicknode results", -32602, "eth_getLogs response exceeds 20000 logs", None, {"max_results": 20_000}),
    ("ankr", -32062, "block range is too wide", None, {}),
    ("ankr tac", -32000, "maximum [from, to] blocks distance: 2000", None, {"max_blocks": 2000}),
    ("chainstack", -32602, "Block range limit exceeded. See more details at https://docs.chainstack.com", None, {}),
    ("drpc", 35, "ranges over 10000 blocks are not supported on freetier", None, {"max_blocks": 10_000}),
    ("drpc results", 35, "query exceeds max results 20000", None, {"max_results": 20_000}),
    ("blastapi", -32602, "Invalid params", BLAST, {"max_blocks": 2000}),
    ("publicnode", -32701, "exceed maximum block range: 50000", None, {"max_blocks": 50_000}),
    ("geth", -32602, "exceed maximum block range: 5000", None, {"max_blocks": 5000}),
    ("geth results", -32005, "query returned more than 10000 results", None, {"max_results": 10_000}),
    ("geth batch answer", -32003, "response too large", None, {}),
    (
        "erigon range",
        -32602,
        "query block range exceeds server limit, narrow your filter: 1000",
        None,
        {"max_blocks": 1000},
    ),
    (
        "erigon results",
        -32602,
        "query returns too many logs, narrow your filter: 20000",
        None,
        {"max_results": 20_000},
    ),
    (
        "nethermind",
        -32005,
        "Too many logs requested. Max logs per response is 20000.",
        None,
        {"max_results": 20_000},
    ),
    ("reth range", -32602, "query exceeds max block range 100000", None, {"max_blocks": 100_000}),
    (
        "reth results",
        -32602,
        "query exceeds max results 20000, retry with the range 25766988-25775072",
        None,
        {"max_results": 20_000, "upto": 25775072},
    ),
    ("nitro range", -32000, "block range exceeds limit of 10000", None, {"max_blocks": 10_000}),
    ("nitro results", -32000, "logs matched by query exceeds limit of 10000", None, {"max_results": 10_000}),
    ("besu", -32602, "Requested range exceeds maximum RPC range limit", None, {}),
    ("besu old", -32000, "Requested range exceeds maximum range limit", None, {}),
    (
        "cloudflare",
        -32047,
        "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800",
        None,
        {"max_blocks": 800},
    ),
    ("tenderly", -32602, "invalid params", TENDERLY, {"max_blocks": 2000}),
    ("tenderly results", -32005, "query matched more than 20000 results", None, {"max_results": 20_000}),
    ("1rpc range", -32602, "eth_getLogs is limited to 0 - 50 blocks range", None, {"max_blocks": 50}),
    ("1rpc size", -32000, "response size should not greater than 2097152 bytes", None, {}),
    ("llamarpc", -32603, "eth_getLogs range is too large, max is 1k blocks", None, {"max_blocks": 1000}),
    ("blockpi", -32602, BLOCKPI, None, {"max_blocks": 1024}),
    (
        "zksync",
        -32602,
        "Query returned more than 10000 results. Try with this block range [0x1, 0x2f].",
        None,
        {"max_results": 10_000, "upto": 0x2F},
    ),
    ("base", -32602, "block range too large", None, {}),
    ("optimism", -32602, "Block range is too large", None, {}),
    ("optimism size", -32020, "backend response too large", None, {}),
    (
        "thirdweb",
        -32005,
        "Log response size exceeded. Maximum allowed number of requested blocks is 3500",
        None,
        {"max_blocks": 3500},
    ),
    (
        "avalanche",
        -32000,
        "requested too many blocks from 0 to 16777216, maximum is set to 2048",
        None,
        {"max_blocks": 2048},
    ),
    ("moonbeam", -32603, "block range is too wide (maximum 1024)", None, {"max_blocks": 1024}),
    (
        "polygon",
        -32005,
        "eth_getLogs block range too large, range: 855077, max: 3500",
        None,
        {"max_blocks": 3500},
    ),
    (
        "morph",
        -32000,
        "block range is larger than max block range, block range = 5120, max block range = 5000",
        None,
        {"max_blocks": 5000},
    ),
    ("sei", -32000, "block range too large (2000), maximum allowed is 1000 blocks", None, {"max_blocks": 1000}),
    ("coinbase", -32005, "please limit the query to at most 1000 blocks", None, {"max_blocks": 1000}),
    ("swell", -32602, "block range greater than 50000 max", None, {"max_blocks": 50_000}),
    ("somnia", -32000, "block range exceeds 1000", None, {"max_blocks": 1000}),
    ("harmony", -32000, "query must be smaller than size 1024", None, {"max_blocks": 1024}),
    ("simplyvc", -32000, "too wide blocks range, the limit is 100", None, {"max_blocks": 100}),
    ("candle", -32600, "block range too high", None, {}),
]
BATCH: list[tuple[str, int | None, str, Any, int | None]] = [
    ("drpc", 31, DRPC_BATCH, None, 3),
    ("geth", -32600, "batch too large", None, None),
    ("jsonrpsee", -32010, "The batch request was too large", "Exceeded max limit of 20", 20),
    ("jsonrpsee off", -32005, "Batched requests are not supported by this server", None, None),
    ("proxyd", -32014, "too many RPC calls in batch request", None, None),
    ("nethermind", -32005, "Batch size limit exceeded", None, None),
    ("besu", -32602, "Number of requests in batch exceeds --rpc-max-batch-size.", None, None),
    ("replay", -32600, "batch size must be 1..40", None, 40),
]
RATE: list[tuple[str, int | None, str, Any, float | None]] = [
    ("alchemy", 429, ALCHEMY_CU, None, None),
    ("alchemy month", 429, "Monthly capacity limit exceeded. Visit https://dashboard.alchemy.com", None, None),
    ("infura", -32005, "exceeded project rate limit", INFURA_RATE, 30.0),
    ("infura day", -32005, "daily request count exceeded, request rate limited", None, None),
    ("quicknode", -32007, "25/second request limit reached - reduce calls per second or upgrade", None, None),
    (
        "chainstack",
        -32005,
        "You've exceeded the RPS limit available on the current plan.",
        {"try_again_in": "250.5ms"},
        0.2505,
    ),
    ("ankr", -32090, "Too many requests, reason: call rate limit exhausted, retry in 10m0s", None, 600.0),
    ("proxyd", -32016, "over rate limit", None, None),
    ("drpc", 15, "You reached Public endpoint rate limit, please slow down", None, None),
    ("1rpc", -32001, "Exceeded the quota usage", None, None),
    ("tenderly", -32005, "rate limit exceeded", None, None),
    ("nginx", 429, "Too Many Requests", None, None),
    ("eip-1474", -32005, "limit exceeded", None, None),
    ("unknown words", 429, "slow down, try again in 20 seconds", None, 20.0),
]
LATER: list[tuple[str, int | None, str, Any]] = [
    ("geth", -32000, "header not found", None),
    ("geth by hash", -32000, "unknown block", None),
    ("geth tag", -32000, "finalized block not found", None),
    ("besu", -32000, "Block not found", None),
    ("geth, reth", -32602, "block range extends beyond current head block", None),
    ("reth", -32602, "block range extends beyond current head block: requested 21000100, head 21000000", 21_000_100),
    ("proxyd", -32019, "block is out of range", None),
    ("arc", -32014, "requested data not available", None),
    ("avalanche", -32000, "requested from block 5 after last accepted block 4", None),
    (
        "openethereum",
        -32015,
        "One of the block specified in filter (fromBlock, toBlock or blockHash) cannot be found",
        None,
    ),
]
FAULT: list[tuple[str, int | None, str]] = [
    ("proxyd", -32011, "no backend is currently healthy to serve traffic"),
    ("geth", -32002, "request timed out"),
    ("replay", -32000, "backend unavailable"),
    ("many", -32603, "Internal error"),
    ("no words", -32603, "boom"),
]
REFUSED: list[tuple[str, int | None, str]] = [
    ("publicnode archive", -32602, "Archive requests require a personal token. Get one at: https://www.allnodes.com"),
    (
        "publicnode address",
        -32701,
        "Please specify an address in your request or, to remove restrictions, order a node",
    ),
    ("pruned", 4444, "pruned history unavailable"),
    ("no archive", -32000, "missing trie node 0a1b (path ) state is not available"),
    ("no method", -32601, "the method trace_block does not exist/is not available"),
    ("bad filter", -32602, "invalid argument 0: hex string has length 41, want 40 for common.Address"),
    ("reversed", -32602, "invalid block range params"),
    ("no key", -32000, "Unauthorized: You must authenticate your request with an API key."),
]


def error_of(code: int | None, message: str, data: Any = None, method: str = "eth_getLogs") -> TaskscanError:
    fault = {"code": code, "message": message, **({} if data is None else {"data": data})}
    return limits.from_rpc("node.example", method, msgspec.json.encode(fault), str)


@pytest.mark.parametrize(("who", "code", "message", "data", "hints"), TOO_LARGE, ids=[row[0] for row in TOO_LARGE])
def test_too_large_with_its_hint(who: str, code: int, message: str, data: Any, hints: dict[str, Any]) -> None:
    error = error_of(code, message, data)
    assert isinstance(error, TooLarge), who
    expected = {"max_blocks": None, "max_results": None, "upto": None, "batch": False, **hints}
    assert {name: getattr(error, name) for name in expected} == expected


@pytest.mark.parametrize(("who", "code", "message", "data", "longest"), BATCH, ids=[row[0] for row in BATCH])
def test_batch_too_long(who: str, code: int, message: str, data: Any, longest: int | None) -> None:
    error = error_of(code, message, data, "a batch of 100 calls")
    assert isinstance(error, TooLarge), who
    assert (error.batch, error.facts["max_batch"], error.max_blocks) == (True, longest, None)


@pytest.mark.parametrize(("who", "code", "message", "data", "wait"), RATE, ids=[row[0] for row in RATE])
def test_rate_limited(who: str, code: int, message: str, data: Any, wait: float | None) -> None:
    error = error_of(code, message, data)
    assert isinstance(error, RateLimited), who
    assert error.retry_after == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(("who", "code", "message", "block"), LATER, ids=[row[0] for row in LATER])
def test_not_there_yet(who: str, code: int, message: str, block: int | None) -> None:
    error = error_of(code, message)
    assert isinstance(error, NotThereYet), who
    assert error.facts["block"] == (block or "that was asked for")


@pytest.mark.parametrize(("who", "code", "message"), FAULT, ids=[row[0] for row in FAULT])
def test_server_fault(who: str, code: int, message: str) -> None:
    assert type(error_of(code, message)) is ServerFault, who


@pytest.mark.parametrize(("who", "code", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(who: str, code: int, message: str) -> None:
    error = error_of(code, message)
    assert type(error) is RpcRefused, who
    assert message in str(error)
    assert f"(code {code})" in str(error)


def test_every_row_of_the_table_is_proved_by_a_text() -> None:
    texts = [f"{row[2]} {msgspec.json.encode(row[3]).decode()}" for row in (*TOO_LARGE, *BATCH, *RATE)]
    texts += [row[2] for row in (*LATER, *FAULT, *REFUSED)]
    used = {next((row for row in ROWS if row.pattern.search(text)), None) for text in texts}
    assert [row for row in ROWS if row not in used] == []


@pytest.mark.parametrize(
    ("message", "blocks", "results"),
    [
        ("the limit for you is 2,500 blocks", 2500, None),
        ("the filter may span at most 750 blocks", 750, None),
        ("your range is 90000 wide, the maximum is 300", 300, None),
        ("refused: no more than 5000 events per query", None, 5000),
        ("this range is really too big", None, None),
        ("Please narrow down your filter", None, None),
    ],
)
def test_unknown_words_fall_back_to_fingerprints(message: str, blocks: int | None, results: int | None) -> None:
    error = error_of(-32099, message)
    assert isinstance(error, TooLarge)
    assert (error.max_blocks, error.max_results) == (blocks, results)
    assert type(error_of(-32099, message, method="eth_call")) is RpcRefused


@pytest.mark.parametrize(
    "reason", ["rate limit exceeded", "block range is too wide", "header not found", "batch too large"]
)
def test_a_contract_cannot_pass_for_its_provider(reason: str) -> None:
    for code, message in ((3, f"execution reverted: {reason}"), (-32000, f"execution reverted: {reason}"), (3, reason)):
        error = error_of(code, message, "0x08c379a0", "eth_call")
        assert type(error) is RpcRefused
        assert (error.facts["code"], error.facts["data"]) == (3, "0x08c379a0")


@pytest.mark.parametrize("raw", [b'"rate limit exceeded"', b'{"message":"rate limit exceeded"}', b'{"code":"429"}'])
def test_error_objects_of_odd_shape(raw: bytes) -> None:
    assert isinstance(limits.from_rpc("node.example", "eth_getLogs", raw, str), RateLimited)


@pytest.mark.parametrize(
    "raw", [b"[]", b"7", b"true", b"{}", b'{"code":[],"message":{"a":1}}', b'"\xff"', b"[" * 99_999]
)
def test_nonsense_as_an_error_is_a_refusal(raw: bytes) -> None:
    assert type(limits.from_rpc("node.example", "eth_getLogs", raw, str)) is RpcRefused


def http(status: int, body: bytes = b"", **headers: str) -> TaskscanError | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return limits.from_http("node.example", "the request", status, named, body, str)


def test_http_429_waits_as_long_as_it_is_told() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    told = [http(429, Retry_After="7"), http(429, Retry_After=format_datetime(later, usegmt=True))]
    told += [http(429, b'{"code":-32090,"message":"retry in 10s"}'), http(503, Retry_After="3"), http(429)]
    waits = [error.retry_after for error in told if isinstance(error, RateLimited)]
    assert waits == [7.0, pytest.approx(90, abs=2), 10.0, 3.0, None]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0), ("1.5", 1.5), ("-4", 0), ("inf", 3600), ("99999999", 3600), ("nan", None), ("soon", None), ("", None)],
)
def test_retry_after_from_anybody(header: str, seconds: float | None) -> None:
    assert limits.retry_after(header) == seconds
    assert limits.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_http_errors_without_json() -> None:
    assert type(http(502, b"<html><title>502</title></html>")) is ServerFault
    assert str(http(502, b"<html>secret</html>")) == "node.example failed: HTTP 502 Bad Gateway"
    assert type(http(408)) is ServerFault
    assert type(http(413, b"Request Entity Too Large")) is TooLarge
    assert str(http(401, b"no key")) == "node.example refuses the request: HTTP 401 Unauthorized: no key (code 401)"
    assert "final URL" in str(http(301))
    assert type(http(599, b"?")) is ServerFault


def test_http_errors_with_a_json_rpc_answer_are_passed_on() -> None:
    assert http(400, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"anything"}}') is None
    assert http(500, b'[{"id":1,"error":{"code":31,"message":"Batch of more than 3 requests"}}]') is None
    assert http(503, b'{"error":{"code":-32011,"message":"no backend is currently healthy to serve traffic"}}') is None
    assert type(http(500, b'{"error":{"code":-32000,"message":"boom"}}')) is ServerFault
    assert type(http(404, b'{"error":"Not Found","path":"/"}')) is RpcRefused
