"""The real iExec PoCo contracts on the devnet: the creation code of Arbitrum One's own contracts, wired like there.

Source: `deployments/arbitrum` of the npm package `@iexec/poco` 6.1.0; categories and names:
iexec.md, sections 1.2 and 2.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from indexer.devnet.abi import ZERO_ADDRESS, Interface, created_address, read_json, signature
from indexer.devnet.chain import Block, Chain, Tx
from indexer.devnet.ledger import Category

# The library's address is compiled into the facets that call it.
_LIBRARY = "IexecLibOrders_v5"
_FIRST_FACETS = ("DiamondCutFacet", "DiamondLoupeFacet", "OwnershipFacet")
_FACETS = (
    "IexecAccessorsABILegacyFacet",
    "IexecCategoryManagerFacet",
    "IexecConfigurationExtraFacet",
    "IexecConfigurationFacet",
    "IexecERC20Facet",
    "IexecEscrowTokenFacet",
    "IexecOrderManagementFacet",
    "IexecPoco1Facet",
    "IexecPoco2Facet",
    "IexecPocoAccessorsFacet",
    "IexecRelayFacet",
)
_REGISTRIES = {"app": "AppRegistry", "dataset": "DatasetRegistry", "workerpool": "WorkerpoolRegistry"}
_TOKEN_FUNCTIONS = (
    "approve(address,uint256)",
    "approveAndCall(address,uint256,bytes)",
    "transfer(address,uint256)",
    "balanceOf(address)",
)
_DIAMOND_ARGUMENTS = ("(address,uint8,bytes4[])[]", "(address,address,bytes)")
# `receive` and `fallback` are linked by these two selectors (package: contracts/Diamond.sol).
_RECEIVE, _FALLBACK = bytes(4), b"\xff" * 4
# Seconds of the five production categories, and a short one of our own whose deadlines pass while one watches.
CATEGORIES = (("XS", 300), ("S", 1200), ("M", 3600), ("L", 10800), ("XL", 36000), ("XXS", 6))
SHORT_CATEGORY = 5


@dataclass(frozen=True)
class Poco:
    """A deployment. Addresses are lower-case hex text; `registries` by kind: app, dataset, workerpool."""

    hub: str
    token: str
    registries: dict[str, str]
    callback_target: str
    domain_separator: bytes
    hub_interface: Interface
    token_interface: Interface
    registry_interfaces: dict[str, Interface]
    workerpool_interface: Interface
    proxy_code_hashes: dict[str, bytes]


class _Deployer:
    """Turns contracts into creation transactions whose addresses are known before they are mined."""

    def __init__(self, package: Path, chain: Chain, owner: str) -> None:
        self.package, self.chain, self.owner = package, chain, owner
        self.txs: list[Tx] = []
        self._library = ("", "")

    def artifact(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.package / "deployments" / "arbitrum" / f"{name}.json")
        return content

    def create(self, name: str, arguments: bytes = b"") -> str:
        artifact = self.artifact(name)
        code = artifact["bytecode"]
        address = self.create_code(code.lower().replace(*self._library) if self._library[0] else code, arguments)
        if name == _LIBRARY:
            self._library = (artifact["address"][2:].lower(), address[2:])
        return address

    def create_code(self, code: str, arguments: bytes = b"") -> str:
        address = created_address(self.owner, self.chain.nonce(self.owner) + len(self.txs))
        self.txs.append(Tx(self.owner, None, code + arguments.hex()))
        return address

    def mine(self) -> Block:
        txs, self.txs = self.txs, []
        return self.chain.mine(txs, self.chain.head.timestamp + 1)


def deploy(package: Path, chain: Chain, owner: str) -> Poco:
    """Deploy and configure everything from the account `owner`, in some twenty blocks; enter it in the ledger.

    `package`: the unpacked npm package. Takes about half a second.
    """
    deployer = _Deployer(package, chain, owner)
    token = deployer.create("RLC")
    deployer.create(_LIBRARY)
    facets = {name: deployer.create(name) for name in (*_FIRST_FACETS, *_FACETS)}
    deployer.mine()
    hub = _create_hub(deployer, facets)
    _link(deployer, hub, facets)
    registries = {kind: deployer.create(name) for kind, name in _REGISTRIES.items()}
    target = deployer.create_code(_tool(package, "testing/TestClient")["bytecode"])
    deployer.mine()
    poco = _describe(deployer, hub, token, registries, target)
    _configure(deployer, poco)
    return poco


def _tool(package: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = read_json(
        package / "artifacts" / "contracts" / "tools" / f"{name}.sol" / f"{name.rpartition('/')[2]}.json"
    )
    return content


def _create_hub(deployer: _Deployer, facets: dict[str, str]) -> str:
    init = deployer.create("DiamondInit")
    cuts = [(facets[name], 0, Interface(deployer.artifact(name)["abi"]).selectors()) for name in _FIRST_FACETS]
    settings = (deployer.owner, init, keccak(text="init()")[:4])
    hub = deployer.create_code(_diamond_code(deployer), encode(_DIAMOND_ARGUMENTS, [cuts, settings]))
    block = deployer.mine()
    deployer.chain.ledger.start_block = block.number
    return hub


def _diamond_code(deployer: _Deployer) -> str:
    """The Diamond's creation code without the production arguments that the deployment file has at its end."""
    diamond = deployer.artifact("Diamond")
    cuts, settings = diamond["args"]
    rows = [
        (cut["facetAddress"], cut["action"], [bytes.fromhex(s[2:]) for s in cut["functionSelectors"]]) for cut in cuts
    ]
    row = (settings["owner"], settings["init"], bytes.fromhex(settings["initCalldata"][2:]))
    code: str = diamond["bytecode"]
    return code.removesuffix(encode(_DIAMOND_ARGUMENTS, [rows, row]).hex())


def _link(deployer: _Deployer, hub: str, facets: dict[str, str]) -> None:
    """One cut per facet, as in production. A selector that several facets have goes to the first."""
    cut = Interface(deployer.artifact("DiamondCutFacet")["abi"])
    linked = {s for name in _FIRST_FACETS for s in Interface(deployer.artifact(name)["abi"]).selectors()}
    for name in _FACETS:
        abi = deployer.artifact(name)["abi"]
        selectors = [s for s in Interface(abi).selectors() if s not in linked]
        selectors += [_RECEIVE for entry in abi if entry["type"] == "receive"]
        selectors += [_FALLBACK for entry in abi if entry["type"] == "fallback"]
        linked.update(selectors)
        data = cut.calldata("diamondCut", [(facets[name], 0, selectors)], ZERO_ADDRESS, b"")
        deployer.txs.append(Tx(deployer.owner, hub, data))
        deployer.mine()


def _describe(deployer: _Deployer, hub: str, token: str, registries: dict[str, str], target: str) -> Poco:
    package, chain = deployer.package, deployer.chain
    contracts = package / "artifacts" / "contracts"
    interfaces = {kind: Interface(deployer.artifact(name)["abi"]) for kind, name in _REGISTRIES.items()}
    getters = {kind: {"to": to, "data": interfaces[kind].calldata("proxyCodeHash")} for kind, to in registries.items()}
    hashes = {kind: chain.node.call("eth_call", getter, "latest") for kind, getter in getters.items()}
    chain.ledger.contracts = {"hub": hub, **{f"{kind}registry": a for kind, a in registries.items()}, "token": token}
    return Poco(
        hub=hub,
        token=token,
        registries=registries,
        callback_target=target,
        domain_separator=_domain_separator(chain.ledger.chain_id, hub),
        hub_interface=Interface(read_json(contracts / "IexecInterfaceToken.sol" / "IexecInterfaceToken.json")["abi"]),
        token_interface=Interface([signature(text) for text in _TOKEN_FUNCTIONS]),
        registry_interfaces=interfaces,
        workerpool_interface=Interface(
            read_json(contracts / "registries" / "workerpools" / "Workerpool.sol" / "Workerpool.json")["abi"]
        ),
        proxy_code_hashes={kind: bytes.fromhex(text[2:]) for kind, text in hashes.items()},
    )


def _domain_separator(chain_id: int, hub: str) -> bytes:
    """EIP-712 domain of iexec.md, section 5: iExecODB, 5.0.0, chain id, hub."""
    kind = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    values = (kind, keccak(text="iExecODB"), keccak(text="5.0.0"), chain_id, hub)
    return keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values))


def _configure(deployer: _Deployer, poco: Poco) -> None:
    for kind, address in poco.registries.items():
        interface = poco.registry_interfaces[kind]
        uri = f"https://nfts-metadata.arbitrum.iex.ec/{kind}/"
        for data in (interface.calldata("initialize", ZERO_ADDRESS), interface.calldata("setBaseURI", uri)):
            deployer.txs.append(Tx(deployer.owner, address, data))
    hub = poco.hub_interface
    settings = (poco.token, "Staked RLC", "SRLC", 9, *poco.registries.values(), ZERO_ADDRESS)
    deployer.txs.append(Tx(deployer.owner, poco.hub, hub.calldata("configure", *settings)))
    deployer.mine()
    for number, (name, seconds) in enumerate(CATEGORIES):
        category = Category(number, name, f"{seconds} s", seconds)
        data = hub.calldata("createCategory", name, category.description, seconds)
        deployer.txs.append(Tx(deployer.owner, poco.hub, data, partial(_add_category, deployer.chain, category)))
    deployer.mine()


def _add_category(chain: Chain, category: Category, _: Block) -> None:
    chain.ledger.categories.append(category)
