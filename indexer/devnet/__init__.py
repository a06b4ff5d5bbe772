"""A local chain with real traffic: Anvil, the real iExec contracts, two Arbius engines, and people who use them.

For the demo and the tests.

    with Devnet(seed=1) as devnet:
        devnet.bulk(200)            # 200 tasks of all kinds on each network, in a past that ends now
        devnet.live(1.0)            # from now on one block per second for each network
        ...                         # read devnet.rpc_url with the indexer
        devnet.pause()
        devnet.ledger               # what really happened

`python -m indexer.devnet` does the same in a process of its own.
"""

import threading
import time
from pathlib import Path
from types import TracebackType

from indexer.devnet.anvil import Anvil
from indexer.devnet.arbius.compile import contracts
from indexer.devnet.arbius.facts import Arbius
from indexer.devnet.arbius.traffic import Traffic
from indexer.devnet.drive import HISTORY_SECONDS, Drive
from indexer.devnet.ledger import Ledger
from indexer.devnet.tools import install
from indexer.errors import SetupFailed

__all__ = ["Devnet", "Ledger"]

ARBITRUM_ONE = 42161


class Devnet:
    """A running devnet. The constructor installs what is missing, starts Anvil, deploys the contracts.

    `cache`: folder for the installed tools (default: the user's cache folder); `seed`: the same seed sends the same
    transactions; `end_time`: Unix seconds at which the bulk ends (default: now).
    Raises SetupFailed if a tool is missing or Anvil does not start.
    """

    def __init__(
        self, *, cache: Path | None = None, seed: int = 1, chain_id: int = ARBITRUM_ONE, end_time: int | None = None
    ) -> None:
        tools, end = install(cache), end_time or int(time.time())
        self._anvil = Anvil(tools.anvil, chain_id=chain_id, timestamp=end - HISTORY_SECONDS)
        self._mining = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        try:
            self._drive = Drive(self._anvil.node, tools.poco, chain_id=chain_id, seed=seed, end_time=end)
            engines = contracts(tools.solc, tools.cache)
            self._traffic = Traffic(self._drive.world.chain, engines, seed=seed)
            self._drive.ledger.arbius = self._traffic.arbius
        except BaseException:
            self._anvil.close()
            raise
        self.chain_id = chain_id
        self.rpc_url, self.ws_url = self._anvil.rpc_url, self._anvil.ws_url
        self.poco_package = tools.poco

    @property
    def hub(self) -> str:
        """Address of the hub, lower-case hex text."""
        return self._drive.poco.hub

    @property
    def token(self) -> str:
        """Address of the RLC token."""
        return self._drive.poco.token

    @property
    def registries(self) -> dict[str, str]:
        """Addresses of the registries by kind: app, dataset, workerpool."""
        return dict(self._drive.poco.registries)

    @property
    def ledger(self) -> Ledger:
        """What was done. It changes while `live` runs: `pause` first, or take a `snapshot`."""
        return self._drive.ledger

    @property
    def arbius(self) -> Arbius:
        """The Arbius part of the ledger: engines by name (`nova`, `one`), addresses in `engines[name].address`."""
        return self.ledger.arbius

    def bulk(self, tasks: int) -> None:
        """Make `tasks` tasks of all kinds on each network, many transactions to a block, time in jumps.

        At least six on the Arbius engines, whose upgrades need them. Once, and not while `live` runs.
        """
        with self._mining:
            self._traffic.history(tasks)
            self._drive.bulk(tasks)
            self._traffic.recent(tasks, self._drive.end_time)

    def live(self, blocks_per_second: float = 1.0) -> None:
        """Keep making blocks by the wall clock in a thread until `pause` or `close`. Twice makes no difference."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(
                target=self._live, args=(1 / blocks_per_second,), name="devnet", daemon=True
            )
            self._thread.start()

    def pause(self) -> None:
        """Stop making blocks. Raises what stopped the live phase, if it failed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    @property
    def failed(self) -> bool:
        """Whether the live phase has ended on an error, which `pause` raises."""
        return self._failure is not None

    def snapshot(self) -> Ledger:
        """A copy of the ledger as of the newest block."""
        with self._mining:
            text = self.ledger.to_json()
        return Ledger.from_json(text)

    def save(self, path: Path) -> None:
        """Write the ledger to a file, whole or not at all. Raises SetupFailed if the file cannot be written."""
        try:
            with self._mining:
                self.ledger.save(path)
        except OSError as error:
            raise SetupFailed(f"The devnet's ledger cannot be written to {path}: {error.strerror or error}.") from error

    def close(self) -> None:
        """Stop everything. Doing it twice is fine."""
        try:
            self.pause()
        finally:
            self._anvil.close()

    def __enter__(self) -> "Devnet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _live(self, seconds: float) -> None:
        due = time.monotonic()
        try:
            while not self._stop.is_set():
                with self._mining:
                    block = self._drive.live_block()
                    self._traffic.live_block(block.timestamp)
                # After a pause of the machine the missed blocks are not made up for.
                due = max(due + seconds, time.monotonic() - seconds)
                self._stop.wait(due - time.monotonic())
        except Exception as error:
            self._failure = error
