"""The provider over a `Post` in the same process: ids, batches, counters, shapes of answers, secrets."""

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import (
    ConfigError,
    Inconsistent,
    MalformedAnswer,
    NotThereYet,
    RateLimited,
    RpcRefused,
    ServerFault,
    TaskscanError,
    TooLarge,
    WrongChain,
)
from indexer.rpc import identify
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header, Log

HASH = "0x" + "ab" * 32
LOG = {
    "address": "0x" + "11" * 20,
    "topics": [HASH],
    "data": "0x",
    "blockHash": HASH,
    "blockNumber": "0x5",
    "transactionHash": HASH,
    "transactionIndex": "0x0",
    "logIndex": "0x1",
    "somethingNew": {"deep": [1, 2]},
}
Reply = Callable[[Any], Any]


def provider_of(reply: Reply, url: str = "http://node.example:8545/v3/key", **more: Any) -> Provider:
    """A provider whose server is `reply`: decoded request in, answer out (bytes, or anything JSON)."""

    async def post(body: bytes) -> bytes:
        answer = reply(json.loads(body))
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    return Provider(Endpoint(url, **more), post)


def good(request: Any) -> Any:
    """A server that answers each call with its method's name."""
    if isinstance(request, list):
        return [good(one) for one in request]
    return {"jsonrpc": "2.0", "id": request["id"], "result": request["method"]}


CALLS = [Call("eth_a"), Call("eth_b", ("0x1", True)), Call("eth_c")]


async def test_a_call_has_its_type_and_is_counted() -> None:
    provider = provider_of(lambda asked: {"jsonrpc": "2.0", "id": asked["id"], "result": [LOG]})
    (log,) = await provider.call(Call("eth_getLogs", ({"fromBlock": "0x5"},)), list[Log])
    assert (log.block_number, log.topics, log.block_timestamp, log.removed) == ("0x5", [HASH], None, False)
    assert (provider.calls, provider.requests, provider.methods) == (1, 1, {"eth_getLogs": 1})
    assert provider.bytes_in > 300


async def test_the_request_is_json_rpc_with_ids_that_never_repeat() -> None:
    seen: list[Any] = []
    provider = provider_of(lambda asked: (seen.append(asked), good(asked))[1])
    await provider.call(CALLS[0], str)
    await provider.batch(CALLS)
    assert seen[0] == {"jsonrpc": "2.0", "id": seen[0]["id"], "method": "eth_a", "params": []}
    assert [call["params"] for call in seen[1]] == [[], ["0x1", True], []]
    ids = [seen[0]["id"], *(call["id"] for call in seen[1])]
    assert len(set(ids)) == 4
    assert await provider.batch([]) == []


def texts(provider: Provider, items: list[Any]) -> list[Any]:
    return [type(item) if isinstance(item, TaskscanError) else provider.unwrap(item, str) for item in items]


def spoil(change: Callable[[list[Any]], Any]) -> Provider:
    return provider_of(lambda asked: change(good(asked)))


def without(index: int) -> Callable[[list[Any]], list[Any]]:
    return lambda answers: answers[:index] + answers[index + 1 :]


def at_second(**fields: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda answers: [answers[0], {**answers[1], **fields}, answers[2]]


A, B, C = "eth_a", "eth_b", "eth_c"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda answers: answers[::-1], [A, B, C]),
        (lambda answers: [answers[1], *answers], [A, B, C]),
        (lambda answers: [*answers, {**answers[1], "result": "other"}], [A, Inconsistent, C]),
        (lambda answers: [{**one, "id": str(one["id"])} for one in answers], [A, B, C]),
        (lambda answers: [{**one, "id": float(one["id"])} for one in answers], [A, B, C]),
        (without(1), [A, MalformedAnswer, C]),
        (at_second(id=987654), [A, MalformedAnswer, C]),
        (at_second(id={"a": 1}), [A, MalformedAnswer, C]),
        (at_second(result=None), [A, None, C]),
        (at_second(result=None, error={"code": -32000, "message": "header not found"}), [A, NotThereYet, C]),
        (at_second(error={"code": -32601, "message": "no such method"}), [A, RpcRefused, C]),
        (at_second(error=None), [A, B, C]),
        (at_second(id=None, error={"code": -32603, "message": "x"}), [A, ServerFault, C]),
        (lambda answers: [answers[0], {"id": answers[1]["id"]}, answers[2]], [A, MalformedAnswer, C]),
        (lambda answers: [answers[0], None, answers[2]], [A, MalformedAnswer, C]),
        (lambda answers: [answers[0], [7], answers[2]], [A, MalformedAnswer, C]),
        (lambda answers: [], [MalformedAnswer] * 3),
    ],
)
async def test_a_bad_item_spoils_only_itself(change: Any, expected: list[Any]) -> None:
    provider = spoil(change)
    items = await provider.batch(CALLS)
    if None in expected:
        assert provider.unwrap(items[1], str | None) is None  # type: ignore[arg-type]
        items[1], expected = items[0], [A, A, C]
    assert texts(provider, items) == expected
    assert provider.calls == 3


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc"', b"<html></html>", b"null", b"7", b'"text"'],
)
async def test_an_answer_that_is_no_json_rpc(body: bytes) -> None:
    provider = provider_of(lambda asked: body)
    for calls in (CALLS, CALLS[:1]):
        with pytest.raises(MalformedAnswer, match=r"node\.example:8545 sent an answer that cannot be read"):
            await provider.batch(calls)


@given(st.binary(max_size=60))
async def test_no_bytes_raise_anything_but_our_errors(body: bytes) -> None:
    provider = provider_of(lambda asked: body)
    with contextlib.suppress(TaskscanError):
        for item in await provider.batch(CALLS):
            provider.unwrap(item, list[Log])


@pytest.mark.parametrize(
    "result", [b'"\xff\xfe"', b'[{"address":"\xff"}]', b'{"a":1}', b"[1]", b"[" * 9999 + b"]" * 9999]
)
async def test_a_result_of_another_shape_is_malformed(result: bytes) -> None:
    def reply(asked: Any) -> bytes:
        return b'{"id":%d,"result":%s}' % (asked["id"], result)

    with pytest.raises(MalformedAnswer):
        await provider_of(reply).call(Call("eth_getLogs"), list[Log])


def batch_limit(error: Any, limit: int = 2, shape: str = "object") -> Provider:
    def reply(asked: Any) -> Any:
        if not isinstance(asked, list) or len(asked) <= limit:
            return good(asked)
        if shape == "object":
            return {"jsonrpc": "2.0", "id": None, "error": error}
        ids = [one["id"] for one in asked]
        return [{"id": one, "error": error} for one in (ids if shape == "each" else ids[:1])]

    return provider_of(reply)


@pytest.mark.parametrize("shape", ["object", "each", "first"])
@pytest.mark.parametrize(
    ("error", "learned"),
    [
        ({"code": -32600, "message": "batch size must be 1..2"}, 2),
        ({"code": 31, "message": "Batch of more than 2 requests are not allowed on free tier"}, 2),
        ({"code": -32600, "message": "batch too large"}, 1),
    ],
)
async def test_a_batch_that_is_too_long(error: Any, learned: int, shape: str) -> None:
    provider = batch_limit(error, shape=shape)
    with pytest.raises(TooLarge) as caught:
        await provider.batch(CALLS)
    assert caught.value.batch
    assert provider.max_batch == learned
    assert texts(provider, await provider.batch(CALLS[:2])) == [A, B]


async def test_a_server_without_batches_is_asked_for_fewer_calls() -> None:
    provider = batch_limit({"code": -32700, "message": "parse error"}, limit=0)
    with pytest.raises(TooLarge) as caught:
        await provider.batch(CALLS[:2])
    assert caught.value.batch
    assert provider.max_batch == 1
    assert await provider.call(CALLS[0], str) == A


async def test_one_error_for_the_whole_batch() -> None:
    with pytest.raises(RpcRefused, match="refuses a batch of 3 calls: no access"):
        await batch_limit({"code": -32000, "message": "no access"}).batch(CALLS)
    with pytest.raises(RateLimited):
        await batch_limit({"code": 429, "message": "slow"}).batch(CALLS)


async def test_a_429_inside_a_batch_pauses_the_provider() -> None:
    provider = spoil(at_second(error={"code": -32005, "message": "rate limit exceeded, retry in 5s"}))
    items = await provider.batch(CALLS)
    assert texts(provider, items) == [A, RateLimited, C]
    assert 4 < provider.throttle.paused_for <= 5


SECRET_URLS = [
    "https://node.example/v3/s3cr3tkey",
    "https://node.example/rpc?apikey=s3cr3tkey&x=1",
    "https://user:s3cr3tkey@node.example/",
    "https://node.example/#s3cr3tkey",
    "https://node.example/s3cr3tkey/eth/",
    "https://user:p%40s3cr3tkey@node.example/s3cr3t%6bey",
]


@pytest.mark.parametrize("url", SECRET_URLS)
async def test_no_secret_of_the_url_in_any_text(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"bad request to {url} and S3CR3TKEY and p@s3cr3tkey, key=s3cr3tkey" + "x" * 999

    def reply(asked: Any) -> Any:
        return {"id": asked["id"], "error": {"code": -32000, "message": echo, "data": echo}}

    provider = provider_of(reply, url)
    with pytest.raises(RpcRefused) as caught:
        await provider.call(Call("eth_x"), str)
    with pytest.raises(TaskscanError) as by_web3:
        await provider.w3.eth.get_block(1)
    shown = [str(caught.value), repr(caught.value), str(caught.value.facts), str(by_web3.value), caplog.text]
    shown += [str(provider), repr(provider), str(provider.w3.provider.endpoint_uri), repr(Endpoint(url)), provider.name]
    assert all("s3cr3tkey" not in text.lower() for text in shown)
    assert "bad request" in shown[0]
    assert len(shown[0]) < 500


@pytest.mark.parametrize(
    "header",
    [{"Authorization": "Bearer s3cr3tkey"}, {"X-Key": "s3cr3tkey"}, {"Authorization": "Basic dXNlcjpzM2NyM3RrZXk="}],
)
def test_no_secret_of_a_header_in_any_text(header: dict[str, str]) -> None:
    endpoint = Endpoint("https://node.example", headers=header)
    text = endpoint.scrub(f"you sent {header} that is s3cr3tkey")
    assert "s3cr3tkey" not in text
    assert not any(value in text for value in header.values())
    assert "s3cr3tkey" not in repr(endpoint)


def test_scrubbing_leaves_words_that_only_look_like_parts_of_the_url() -> None:
    endpoint = Endpoint("https://node.example/eth/v1/abcdefgh")
    assert (
        endpoint.scrub("eth_getLogs of v1.2 refused\x00\n at /eth/v1/abcdefgh") == "eth_getLogs of ***.2 refused at ***"
    )


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://node.example/s3cr3tkey", {}),
        ("s3cr3tkey", {}),
        ("http://", {}),
        ("http://node.example:s3cr3tkey/", {}),
        ("http://[s3cr3tkey/", {}),
        ("http://u:s3cr3tkey@node.example", {"authorization": "Bearer x"}),
        ("http://node.example", {"X": "s3cr3tkey\r\nY: 1"}),
    ],
)
def test_a_url_that_cannot_be_used_is_a_configuration_error_that_does_not_show_it(url: str, headers: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint(url, headers)
    assert "s3cr3tkey" not in str(caught.value)


def chain(blocks: dict[Any, Any], chain_id: str = "0x1", limit: int = 1000) -> Provider:
    """A server with `blocks` (tag or number -> header, None or error)."""

    def one(asked: Any) -> Any:
        if asked["method"] == "eth_chainId":
            return {"id": asked["id"], "result": chain_id}
        ref = asked["params"][0]
        block = blocks.get(int(ref, 16) if ref.startswith("0x") else ref)
        if isinstance(block, dict) and "code" in block:
            return {"id": asked["id"], "error": block}
        return {"id": asked["id"], "result": block}

    def reply(asked: Any) -> Any:
        if isinstance(asked, list) and len(asked) > limit:
            return {"id": None, "error": {"code": -32600, "message": "batch too large"}}
        return [one(call) for call in asked] if isinstance(asked, list) else one(asked)

    return provider_of(reply)


def header(number: int) -> dict[str, str]:
    return {"number": hex(number), "hash": f"0x{number:064x}", "parentHash": HASH, "timestamp": "0x1"}


PRUNED = {"code": 4444, "message": "pruned history unavailable"}


async def test_check_chain_names_what_is_served_and_what_was_asked_for() -> None:
    await identify.check_chain(chain({}, "0xa4b1"), 42161)
    with pytest.raises(WrongChain, match=r"node\.example:8545 serves chain 1, but chain 42161 was asked for"):
        await identify.check_chain(chain({}, "0x1"), 42161)
    with pytest.raises(MalformedAnswer):
        await identify.check_chain(chain({}, "one"), 1)


async def test_first_block_is_the_first_that_can_be_served() -> None:
    assert (await identify.first_block(chain({0: header(0), 1: header(1)})))[0] == 0
    assert (await identify.first_block(chain({0: PRUNED, 1: header(1)})))[0] == 1
    late = chain({0: PRUNED, 1: PRUNED, "earliest": header(77)})
    assert await identify.first_block(late) == (77, header(77)["hash"])


async def test_a_null_now_and_then_does_not_move_the_first_block() -> None:
    answers = [None, header(0)]
    provider = provider_of(lambda asked: {"id": asked["id"], "result": answers.pop(0)})
    assert (await identify.first_block(provider))[0] == 0


async def test_head_and_finalized() -> None:
    provider = chain({"latest": header(9), "finalized": header(7)})
    assert ((await identify.head(provider)).number, (await identify.finalized(provider)).number) == ("0x9", "0x7")  # type: ignore[union-attr]
    unknown = {"code": -32602, "message": "invalid argument 0: hex string without 0x prefix"}
    assert await identify.finalized(chain({"finalized": unknown})) is None
    with pytest.raises(NotThereYet, match="has no block latest"):
        await identify.head(chain({}))
    for wrong in ({"number": hex(2**63)}, {"timestamp": "soon"}):  # no database holds it
        with pytest.raises(MalformedAnswer):
            await identify.head(chain({"latest": header(9) | wrong}))


async def test_headers_come_in_order_in_batches_that_fit() -> None:
    provider = chain({number: header(number) for number in range(40)}, limit=7)
    numbers = [*range(39, 0, -1), 5]
    assert [int(one.number, 16) for one in await identify.headers(provider, numbers)] == numbers
    assert provider.max_batch <= 7
    with pytest.raises(NotThereYet, match="has no block 40"):
        await identify.headers(provider, [3, 40])
    with pytest.raises(Inconsistent, match="block 3 was asked for, block 4 came"):
        await identify.header_at(chain({3: header(4)}), 3)
    assert isinstance(await identify.header_at(provider, 3), Header)


async def test_web3_goes_the_same_way() -> None:
    seen: list[Any] = []

    def reply(asked: Any) -> Any:
        seen.append(asked)
        if asked["method"] == "eth_call":
            return {"id": asked["id"], "error": {"code": 3, "message": "execution reverted", "data": "0xdead"}}
        return {"id": asked["id"], "result": "0xa4b1"}

    provider = provider_of(reply)
    assert await provider.w3.eth.chain_id == 42161
    with pytest.raises(RpcRefused) as caught:
        await provider.w3.eth.call({"to": "0x" + "11" * 20, "data": "0x01"})  # type: ignore[typeddict-item]
    assert (caught.value.facts["code"], caught.value.facts["data"]) == (3, "0xdead")
    assert (provider.calls, provider.requests) == (2, 2)
    assert [asked["method"] for asked in seen] == ["eth_chainId", "eth_call"]


async def test_web3_batches_go_the_same_way() -> None:
    provider = provider_of(lambda asked: [{"id": one["id"], "result": "0x7"} for one in reversed(asked)])
    async with provider.w3.batch_requests() as batch:
        batch.add(provider.w3.eth.get_block_number())
        batch.add(provider.w3.eth.get_block_number())
        assert await batch.async_execute() == [7, 7]
    assert (provider.calls, provider.requests) == (2, 1)


def test_a_post_is_any_function_from_bytes_to_bytes() -> None:
    async def post(body: bytes) -> bytes:
        return body

    typed: Callable[[bytes], Awaitable[bytes | bytearray]] = post
    assert Provider(Endpoint("http://node.example"), typed).name == "node.example"
