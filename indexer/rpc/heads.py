"""New heads by WebSocket subscription (`eth_subscribe newHeads`), with web3's subscription manager.

A subscription only wakes: whatever it says is checked like a polled header, and when it falls silent polling goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from indexer.rpc.types import Header

log = structlog.get_logger(__name__)

SILENCE = 90.0  # seconds without a head after which the connection is made anew
WAITS = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)  # seconds before each further attempt to connect

# web3 and websockets log the URL, and so the key in it.
for _name in ("web3.providers.WebSocketProvider", "websockets.client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


async def listen(name: str, url: str, headers: Mapping[str, str], on_head: Callable[[Header], None]) -> None:
    """Call `on_head` with every head that the endpoint announces, for ever; connect again after any failure.

    `name`: host and port, all that is ever shown of `url`.
    """
    failures = 0
    while True:
        heard = _Heard(on_head)
        try:
            await _until_silent(url, headers, heard)
            reason = f"no head for {SILENCE:.0f} s"
        except Exception as error:  # of four libraries, and none of their texts may be shown: they hold the URL
            reason = type(error).__name__
        failures = 0 if heard.count else failures + 1
        wait = WAITS[min(failures, len(WAITS) - 1)]
        log.info("subscription ended", action="subscription_ended", provider=name, reason=reason, wait_seconds=wait)
        await asyncio.sleep(wait)


class _Heard:
    """Hands heads on, and tells when one came last."""

    def __init__(self, on_head: Callable[[Header], None]) -> None:
        self._on_head, self.count, self.at = on_head, 0, 0.0

    async def handle(self, context: Any) -> None:
        """web3's handler."""
        self.count, self.at = self.count + 1, asyncio.get_running_loop().time()
        self._on_head(_header(context.result))


async def _until_silent(url: str, headers: Mapping[str, str], heard: _Heard) -> None:
    from web3 import AsyncWeb3, WebSocketProvider  # takes two seconds to import, and most chains are only polled
    from web3.utils.subscriptions import NewHeadsSubscription

    options: dict[str, Any] = {"additional_headers": dict(headers), "open_timeout": 10, "max_size": 2**22}
    async with AsyncWeb3(WebSocketProvider(url, websocket_kwargs=options)) as w3:
        await w3.subscription_manager.subscribe(NewHeadsSubscription(handler=heard.handle))
        handling = asyncio.ensure_future(w3.subscription_manager.handle_subscriptions())
        try:
            while True:
                before = heard.count
                done, _ = await asyncio.wait([handling], timeout=SILENCE)
                if done:
                    await handling
                    return
                if heard.count == before:
                    return
        finally:
            handling.cancel()
            with contextlib.suppress(BaseException):
                await handling


def _header(block: Any) -> Header:
    """web3's formatted block as the header that the provider sent."""
    return Header(
        hex(block["number"]), _hex(block["hash"]), _hex(block["parentHash"]), hex(block["timestamp"]),
        _hex(block.get("logsBloom", b"")),
    )  # fmt: skip


def _hex(value: Any) -> str:
    return "0x" + bytes(value).hex()
