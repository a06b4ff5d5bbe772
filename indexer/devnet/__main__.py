"""The devnet as a process: `python -m indexer.devnet --seed 1 --tasks 200 --live 1.0 --ledger FILE`.

Prints one line of JSON once the bulk is done, then makes blocks until SIGTERM, SIGINT or the end of its standard
input, which comes when its parent dies. Exit codes: 0 stopped as asked, 1 failed, 2 usage.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from indexer.devnet import ARBITRUM_ONE, Devnet
from indexer.errors import TaskscanError

SAVE_SECONDS = 3.0


def main(arguments: list[str] | None = None) -> int:
    """Run the devnet until it is told to stop; returns the exit code."""
    options = _parser().parse_args(arguments)
    # Both signals raise KeyboardInterrupt, so that even the set-up and the bulk can be stopped. SIGINT is named too:
    # a shell starts its background jobs with SIGINT ignored, and Python would leave it so.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        with Devnet(cache=options.cache, seed=options.seed, chain_id=options.chain_id) as devnet:
            _run(devnet, options.tasks, options.live, options.ledger)
    except KeyboardInterrupt:
        return 0
    except TaskscanError as error:
        print(f"devnet: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m indexer.devnet", description="A local chain with traffic.")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same transactions")
    parser.add_argument("--tasks", type=int, default=200, help="tasks to make on each network before going live")
    parser.add_argument("--live", type=float, default=1.0, metavar="N", help="blocks per second afterwards")
    parser.add_argument("--ledger", type=Path, required=True, metavar="FILE", help="where to keep what was done")
    parser.add_argument("--chain-id", type=int, default=ARBITRUM_ONE)
    parser.add_argument("--cache", type=Path, default=None, metavar="FOLDER", help="where the tools are installed")
    return parser


def _run(devnet: Devnet, tasks: int, blocks_per_second: float, ledger: Path) -> None:
    devnet.bulk(tasks)
    devnet.save(ledger)
    facts = {"rpc": devnet.rpc_url, "ws": devnet.ws_url, "chain_id": devnet.chain_id}
    facts |= {"contracts": devnet.ledger.contracts, "start_block": devnet.ledger.start_block}
    facts["arbius"] = [
        {"name": engine.name, "engine": engine.address, "start_block": engine.start_block, **engine.contracts}
        for engine in devnet.arbius.engines.values()
    ]
    print(json.dumps(facts), flush=True)
    devnet.live(blocks_per_second)
    try:
        rest = SAVE_SECONDS
        while not devnet.failed:
            time.sleep(rest)
            started = time.monotonic()
            devnet.save(ledger)
            # The file grows; saving it shall not take more than a twentieth of the time.
            rest = max(SAVE_SECONDS, 20 * (time.monotonic() - started))
    finally:
        # Whoever stops us may do it twice, by Ctrl-C and by closing the pipe; the ledger is saved once, undisturbed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        devnet.pause()
        devnet.save(ledger)


def _stop_at_end_of_input() -> None:
    # Not through sys.stdin: its lock, held by a blocked thread, would spoil the end of the interpreter.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
