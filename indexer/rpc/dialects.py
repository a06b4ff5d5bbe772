"""How providers say "ask for less", "ask later" and "not there yet": one row per text that has been seen.

Named groups are hints: `blocks` largest range, `results` most logs, `upto` last block that would fit, `batch` longest
batch, `block` the block that is missing. Rows are tried from the top, so the exact ones stand above the vague ones.
"""

import re
from typing import Literal, NamedTuple

Kind = Literal["rate", "refused", "batch", "toolarge", "later", "fault"]

_NUMBER = r"\d[\d,._]*(?:[km]\b)?"
_BLOCK = r"0x[0-9a-f]+|\d+"


class Row(NamedTuple):
    """`who` sends a text like `pattern`, which means `kind`."""

    who: str
    kind: Kind
    pattern: re.Pattern[str]


def _row(who: str, kind: Kind, pattern: str) -> Row:
    """In `pattern`, <name> stands for a number: decimal with separators or k, or hexadecimal in `upto`."""
    pattern = re.sub(r"<(\w+)>", lambda name: f"(?P<{name[1]}>{_BLOCK if name[1] == 'upto' else _NUMBER})", pattern)
    return Row(who, kind, re.compile(pattern, re.IGNORECASE | re.DOTALL))


ROWS = (
    # Too fast.
    _row("Alchemy, BlastAPI", "rate", r"exceeded its compute units per second"),  # HTTP 429; in batches by item
    _row("Alchemy", "rate", r"monthly capacity limit exceeded"),  # HTTP 429
    _row("Infura", "rate", r"exceeded project rate limit"),  # -32005, data.rate.backoff_seconds; status-go#4807
    _row("Infura", "rate", r"daily request count exceeded"),  # -32005; fluencelabs/dev-rewards#20
    _row("QuickNode", "rate", r"\d+/second request limit reached"),  # -32007; foundry#4894
    _row("Chainstack", "rate", r"exceeded the RPS limit"),  # -32005, data.try_again_in; dank_mids
    _row("Ankr, polygon-rpc.com", "rate", r"call rate limit exhausted"),  # -32090, "retry in 10m0s"
    _row("Base, Optimism, X Layer (proxyd)", "rate", r"over rate limit"),  # -32016; base/node#368
    _row("dRPC", "rate", r"reached public endpoint rate limit"),
    _row("1RPC", "rate", r"exceeded the quota usage"),  # -32001; 1RPC documentation
    _row("Tenderly, Merkle, many", "rate", r"rate.?limit(?:ed| exceeded| reached)"),  # -32005
    _row("nginx, Cloudflare, many", "rate", r"too many requests"),
    _row("EIP-1474", "rate", r"^limit exceeded"),  # -32005, names no limit
    # Not for this key, this plan or this node; looks like a limit but no smaller range helps.
    _row("publicnode", "refused", r"archive requests? require"),  # -32602 with HTTP 403
    _row("publicnode", "refused", r"specify an address in your request"),  # -32701; Lasso
    _row("geth, reth", "refused", r"pruned history unavailable"),  # 4444
    _row("geth, erigon", "refused", r"missing trie node|historical state .{0,60}not available"),
    # The batch is too long, whatever is in it.
    _row("dRPC", "batch", r"batch of more than <batch> requests"),  # 31 with HTTP 500
    _row("geth, op-geth", "batch", r"^batch too large"),  # -32600, one item under the first id; base/node#234
    _row("reth, any jsonrpsee", "batch", r"batch request was too large(?:.*?max limit of <batch>)?"),  # -32010
    _row("any jsonrpsee", "batch", r"batched requests are not supported"),  # -32005
    _row("Base, Optimism, X Layer (proxyd)", "batch", r"too many RPC calls in batch request"),  # -32014
    _row("Nethermind", "batch", r"batch size limit exceeded"),  # -32005; nethermind#5122
    _row("Besu", "batch", r"requests in batch exceeds|exceeds max batch size"),  # besu#4951
    _row("many", "batch", r"batch (?:size|length|limit)\D{0,30}(?:1\.\.)?<batch>"),
    # Too many logs, with the range that would fit.
    _row("Alchemy", "toolarge", r"cap of <results> logs.*?range should work: \[0x[0-9a-f]+, ?<upto>\]"),  # -32602
    _row("Infura, zkSync", "toolarge", r"more than <results> results\W+try with this block range \[\w+, ?<upto>"),
    _row("reth, LlamaRPC", "toolarge", r"exceeds max results <results>, retry with the range \d+-<upto>"),  # reth#23810
    # Too wide a range, with its limit.
    _row("Alchemy", "toolarge", r"up to an? <blocks> block range.*?range should work: \[0x[0-9a-f]+, ?<upto>\]"),
    _row("Alchemy free tier, Aurora", "toolarge", r"up to an? <blocks> block range"),  # -32600
    _row("Infura", "toolarge", r"range <asked> exceeds limit of <blocks>"),  # -32602; INFURA/infura#237
    _row("QuickNode, Base, Arc", "toolarge", r"limited to an? <blocks> (?:blocks? )?range"),  # -32614
    _row("1RPC, BNB", "toolarge", r"limited to 0 - <blocks> blocks range"),  # -32602
    _row("BlockPi", "toolarge", r"limited to <blocks> block"),  # -32602
    _row("Tenderly, thirdweb", "toolarge", r"bigger than range limit <blocks>"),  # in data; boba_legacy#827
    _row("thirdweb", "toolarge", r"maximum allowed number of requested blocks is <blocks>"),  # -32005
    _row("BlastAPI", "toolarge", r"exceeds the range allowed for your plan \(\d+ > <blocks>\)"),  # in data.range
    _row("dRPC", "toolarge", r"ranges over <blocks> blocks are not supported"),  # 35
    _row("Avalanche, dRPC", "toolarge", r"requested too many blocks from \d+ to \d+, maximum is set to <blocks>"),
    _row("Cloudflare", "toolarge", r"range too large\. max range: <blocks>"),  # -32047
    _row("LlamaRPC, Merkle", "toolarge", r"range is too large, max is <blocks> blocks"),  # -32603
    _row("geth, BNB, publicnode", "toolarge", r"exceeds? maximum block range: <blocks>"),  # -32000, -32602, -32701
    _row("reth, Hyperliquid", "toolarge", r"exceeds max block range <blocks>"),  # -32602
    _row("erigon", "toolarge", r"block range exceeds server limit, narrow your filter: <blocks>"),  # erigon#19614
    _row("Arbitrum Nitro", "toolarge", r"block range exceeds limit of <blocks>"),  # -32000
    _row("Somnia", "toolarge", r"block range exceeds <blocks>"),
    _row("Moonbeam", "toolarge", r"block range is too wide \(maximum <blocks>\)"),  # moonbeam#3250
    _row("Polygon", "toolarge", r"range too large, range: \d+, max: <blocks>"),  # -32005; MASQ#585
    _row("Morph, Scroll", "toolarge", r"max block range = <blocks>"),  # -32000; hyperindex#605
    _row("Sei", "toolarge", r"maximum allowed is <blocks> blocks"),
    _row("Coinbase", "toolarge", r"limit the query to at most <blocks> blocks"),  # -32005
    _row("Swell", "toolarge", r"block range greater than <blocks> max"),
    _row("Harmony", "toolarge", r"query must be smaller than size <blocks>"),
    _row("Cronos, Injective, Ankr TAC (ethermint)", "toolarge", r"maximum \[from, to\] blocks distance: <blocks>"),
    _row("SimplyVC", "toolarge", r"too wide blocks range, the limit is <blocks>"),
    # Too many logs, with their limit.
    _row("Arbitrum Nitro", "toolarge", r"logs matched by query exceeds limit of <results>"),  # -32000
    _row("QuickNode", "toolarge", r"response exceeds <results> logs"),  # -32602 with HTTP 413
    _row("erigon", "toolarge", r"returns too many logs, narrow your filter: <results>"),  # erigon#20784
    _row("Nethermind", "toolarge", r"max logs per response is <results>"),  # -32005
    _row("geth, Infura, Ankr, Aurora", "toolarge", r"returned more than <results> results"),  # -32005
    _row("Tenderly", "toolarge", r"more than <results> results"),
    _row("dRPC, LlamaRPC, Ankr", "toolarge", r"exceeds max results <results>"),  # 35, -32602
    # Too much of either, without a number.
    _row("Ankr", "toolarge", r"block range is too wide"),  # -32062, formerly -32600
    _row("Chainstack", "toolarge", r"block range limit exceeded"),  # -32602; 100 blocks free, 10,000 paid
    _row("Base, Optimism, Candle", "toolarge", r"block range (?:is )?too (?:large|high)"),
    _row("Besu", "toolarge", r"requested range exceeds maximum (?:RPC )?range limit"),  # besu#4597
    _row("1RPC, NodeReal", "toolarge", r"response size should not greater than"),  # -32000
    _row("Optimism, Base (proxyd)", "toolarge", r"backend response too large"),  # -32020
    _row("geth", "toolarge", r"^response too large"),  # -32003, for what is left of a batch
    _row("Alchemy", "toolarge", r"log response size exceeded"),  # bancorprotocol/webapp#523
    _row("Infura, erigon", "toolarge", r"query (?:timeout|duration)\D{0,20}exceeded"),  # -32005
    # That block is not there (yet).
    _row("reth", "later", r"extends beyond current head block: requested <block>"),  # -32602; reth#23720
    _row("geth, Nethermind, reth", "later", r"extends beyond current head block"),  # execution-apis#875
    _row("geth, Besu, Arbitrum Nitro", "later", r"(?:header|block) not found|unknown block|could not find block"),
    _row("Base, Optimism (proxyd)", "later", r"block is out of range"),  # -32019
    _row("Arc", "later", r"requested data not available"),  # -32014
    _row("Avalanche", "later", r"requested (?:to|from) block \d+ after last accepted block|unfinalized data"),
    _row("OpenEthereum", "later", r"block specified in filter .{0,60}cannot be found"),
    # Trouble on the other side.
    _row("Base, Optimism (proxyd)", "fault", r"no backends? (?:is|are|available)"),  # -32011 with HTTP 503
    _row("geth, Chainstack", "fault", r"request timed out|context deadline exceeded|gateway time-?out"),  # -32002
    _row("many", "fault", r"internal (?:server )?error|unavailable|overloaded|server is busy|temporar"),
)

# For eth_getLogs only: the wording of providers nobody has met yet.
FINGERPRINTS = (
    _row("?", "toolarge", r"limit(?:ed)?(?: is| of| to| at)?\D{0,20}<blocks> ?-? ?blocks?"),
    _row("?", "toolarge", r"(?:max\w*|up to|at most|over|exceeds?|than|allowed)\D{0,30}<blocks> ?-? ?blocks?"),
    _row("?", "toolarge", r"\brange\b.{0,60}?(?:max\w*|limit\w*|up to|at most|allowed)\D{0,20}<blocks>"),
    _row("?", "toolarge", r"(?:max\w*|limit\w*|more than|exceeds?)\D{0,20}<results> (?:logs|results|events)"),
    _row("?", "toolarge", r"too (?:large|wide|big|high|many|long).{0,40}(?:range|blocks|logs|results|events)"),
    _row("?", "toolarge", r"(?:range|blocks|logs|results|response).{0,40}too (?:large|wide|big|high|many|long)"),
    _row("?", "toolarge", r"(?:range|logs|results|response).{0,40}(?:exceed|limit)"),
    _row("?", "toolarge", r"(?:narrow|reduce|smaller|limit)\b.{0,40}(?:range|filter|blocks|query)"),
)
