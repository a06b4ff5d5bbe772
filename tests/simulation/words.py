"""How real providers refuse a range, as templates: `{cap}` blocks or logs, `{first}` and `{upto}` a range that fits."""

from typing import NamedTuple


class Words(NamedTuple):
    """Who says it, with which code, in which words."""

    who: str
    code: int
    text: str


BLOCKS = (
    Words("Alchemy", -32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a {cap} block "
          "range. Based on your parameters, this block range should work: [{first}, {upto}]"),
    Words("Infura", -32602, "range {asked} exceeds limit of {cap}"),
    Words("QuickNode", -32614, "eth_getLogs is limited to a {cap} range"),
    Words("Ankr", -32062, "block range is too wide"),
    Words("Chainstack", -32602, "Block range limit exceeded. See more details at https://docs.chainstack.com"),
    Words("dRPC", 35, "ranges over {cap} blocks are not supported on freetier"),
    Words("publicnode", -32701, "exceed maximum block range: {cap}"),
    Words("erigon", -32602, "query block range exceeds server limit, narrow your filter: {cap}"),
    Words("reth", -32602, "query exceeds max block range {cap}"),
    Words("Nitro", -32000, "block range exceeds limit of {cap}"),
    Words("Besu", -32602, "Requested range exceeds maximum RPC range limit"),
    Words("Cloudflare", -32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {cap}"),
    Words("Moonbeam", -32603, "block range is too wide (maximum {cap})"),
    Words("somebody", -32099, "the filter may span at most {cap} blocks"),
)  # fmt: skip

RESULTS = (
    Words("geth", -32005, "query returned more than {cap} results"),
    Words("Infura", -32005, "query returned more than {cap} results. Try with this block range [{first}, {upto}]."),
    Words("Nethermind", -32005, "Too many logs requested. Max logs per response is {cap}."),
    Words("reth", -32602, "query exceeds max results {cap}, retry with the range {first10}-{upto10}"),
    Words("Nitro", -32000, "logs matched by query exceeds limit of {cap}"),
    Words("QuickNode", -32602, "eth_getLogs response exceeds {cap} logs"),
    Words("Optimism", -32020, "backend response too large"),
)

BATCHES = (
    Words("dRPC", 31, "Batch of more than {cap} requests are not allowed on free tier"),
    Words("geth", -32600, "batch too large"),
    Words("Nethermind", -32005, "Batch size limit exceeded"),
)

AHEAD = (
    Words("geth", -32602, "block range extends beyond current head block"),
    Words("Besu", -32000, "Block not found"),
)
