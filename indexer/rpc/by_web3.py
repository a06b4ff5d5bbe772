"""web3 over one of our providers. A module of its own, for `import web3` takes longer than all else together."""

from typing import Any

from eth_typing import URI
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.middleware import AttributeDictMiddleware
from web3.types import RPCEndpoint, RPCResponse

from indexer.rpc.transport import Provider


def over(provider: Provider) -> "AsyncWeb3[Web3Provider]":
    """web3 whose calls all go by `provider`. Never asks ENS."""
    return AsyncWeb3(Web3Provider(provider), middleware=[(AttributeDictMiddleware, "attrdict")], ens=None)


class Web3Provider(AsyncHTTPProvider):
    """What web3 takes for a provider."""

    global_ccip_read_enabled = False  # a contract must not make us fetch URLs

    def __init__(self, provider: Provider) -> None:
        # web3 logs and prints the URI that it is given: it gets the host alone.
        super().__init__(URI(f"http://{provider.name}"), exception_retry_configuration=None)
        self.request_counter = provider.ids
        self._provider = provider

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """web3's entry for one call. Raises a TaskscanError."""
        return (await self._ask([(method, params)]))[0]

    async def make_batch_request(self, batch_requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
        """web3's entry for `w3.batch_requests()`. Raises the first error of the batch."""
        return await self._ask(batch_requests)

    async def _ask(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
        forms = [self.form_request(method, params) for method, params in requests]
        body = self.encode_rpc_dict(forms[0]) if len(forms) == 1 else self.encode_batch_request_dicts(forms)
        ids = [int(form["id"]) for form in forms if form["id"] is not None]
        items = await self._provider.send(body, ids, [str(method) for method, _ in requests])
        return [
            RPCResponse(jsonrpc="2.0", id=number, result=self._provider.unwrap(item, Any))
            for number, item in zip(ids, items, strict=True)
        ]
