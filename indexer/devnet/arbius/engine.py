"""One deployed engine: its addresses, its books, and transactions to it. Also its deployment and its upgrades."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from indexer.devnet.abi import created_address
from indexer.devnet.arbius.books import EARLY_PARAMS, V5_2_PARAMS, V6_PARAMS, WHOLE, Books
from indexer.devnet.arbius.compile import Contract
from indexer.devnet.arbius.facts import EARLY, V5_2, V6, Engine, Upgrade
from indexer.devnet.chain import Block, Chain, Tx

SUPPLY = 600_000 * WHOLE
# What the engine mines from; the rest circulates.
POOL = 500_000 * WHOLE
MAX = 2**256 - 1
CONTRACT_OF = {EARLY: "EarlyEngine", V5_2: "EngineV5_2", V6: "EngineV6"}
_NEW_PARAMS = {V5_2: V5_2_PARAMS, V6: V6_PARAMS}

Effect = Callable[[Block], None]


@dataclass
class Handle:
    """An engine to work with. Functions that return a Tx send nothing themselves."""

    chain: Chain
    contracts: Mapping[str, Contract]
    facts: Engine
    books: Books
    admin: str

    @property
    def form(self) -> str:
        """early, V5_2 or V6, as of the newest block."""
        return self.facts.form

    @property
    def owner(self) -> str:
        return self.facts.owner

    def call(self, sender: str, function: str, *arguments: object, effect: Effect | None = None) -> Tx:
        """A call of the engine; `effect` is run when it has been mined."""
        data = self.contracts[CONTRACT_OF[self.form]].interface.calldata(function, *arguments)
        return Tx(sender, self.facts.address, data, effect)

    def refused(self, sender: str, function: str, *arguments: object) -> Tx:
        """A call that the engine must revert."""
        tx = self.call(sender, function, *arguments)
        tx.reverts = True
        return tx

    def helper(self, role: str, sender: str, function: str, *arguments: object, effect: Effect | None = None) -> Tx:
        """A call of the token, the router or the bulk contract."""
        name = {"token": "Token", "router": "Router", "bulk": "Bulk"}[role]
        data = self.contracts[name].interface.calldata(function, *arguments)
        return Tx(sender, self.facts.contracts[role], data, effect)

    def create(self, form: str) -> tuple[str, Tx]:
        """A new implementation of a form: its address and the transaction that creates it."""
        return _creation(self.chain, self.admin, self.contracts[CONTRACT_OF[form]].code)

    def upgrade(self, form: str, implementation: str) -> Tx:
        """Let the proxy use `implementation` from this transaction on."""
        call = self.contracts[CONTRACT_OF[form]].interface.calldata("initialize")
        arguments = encode(["address", "bytes"], [implementation, bytes.fromhex(call[2:])])

        def effect(block: Block) -> None:
            self.facts.form = form
            self.facts.params |= _NEW_PARAMS[form]
            self.facts.upgrades.append(Upgrade(block.number, form, implementation))

        # Selector of `upgradeToAndCall(address,bytes)`.
        return Tx(self.admin, self.facts.address, "0x4f1ef286" + arguments.hex(), effect)


def deploy(chain: Chain, contracts: Mapping[str, Contract], name: str, *, admin: str, owner: str) -> Handle:
    """A token, an engine of the early form behind a proxy, a router, a bulk contract; three blocks.

    `admin` deploys and may upgrade, `owner` sets parameters and has the tokens that circulate.
    """
    token, create_token = _creation(chain, owner, _with(contracts["Token"], ["string", "uint256"], [name, SUPPLY]))
    implementation, create_engine = _creation(chain, admin, contracts["EarlyEngine"].code)
    _mine(chain, [create_token, create_engine])
    call = contracts["EarlyEngine"].interface.calldata("initialize", token, owner, owner)
    arguments = [implementation, admin, bytes.fromhex(call[2:])]
    proxy, create_proxy = _creation(chain, admin, _with(contracts["Proxy"], ["address", "address", "bytes"], arguments))
    facts = Engine(name, proxy, {"token": token}, owner=owner, pauser=owner, treasury=owner, params=dict(EARLY_PARAMS))
    facts.start_block = _mine(chain, [create_proxy]).number
    facts.upgrades.append(Upgrade(facts.start_block, EARLY, implementation))
    facts.reward_pool = POOL
    handle = Handle(chain, contracts, facts, Books(facts, SUPPLY), admin)
    _add_helpers(handle)
    return handle


def _add_helpers(handle: Handle) -> None:
    """Router and bulk contract belong to somebody else, who is the token's owner here."""
    facts, txs = handle.facts, [handle.helper("token", handle.owner, "transfer", handle.facts.address, POOL)]
    for role in ("router", "bulk"):
        code = _with(
            handle.contracts[role.capitalize()], ["address", "address"], [facts.address, facts.contracts["token"]]
        )
        nonce = handle.chain.nonce(handle.owner) + len(txs)
        facts.contracts[role] = created_address(handle.owner, nonce)
        txs.append(Tx(handle.owner, None, code))
    _mine(handle.chain, txs)


def create_registry(handle: Handle, contesters: list[str]) -> tuple[str, Tx]:
    """A registry of master contesters: its address and the transaction that creates it."""
    return _creation(handle.chain, handle.admin, _with(handle.contracts["Registry"], ["address[]"], [contesters]))


def _creation(chain: Chain, sender: str, code: str) -> tuple[str, Tx]:
    return created_address(sender, chain.nonce(sender)), Tx(sender, None, code)


def _with(contract: Contract, types: list[str], arguments: Sequence[object]) -> str:
    return contract.code + encode(types, arguments).hex()


def _mine(chain: Chain, txs: list[Tx]) -> Block:
    return chain.mine(txs, chain.head.timestamp + 1)
