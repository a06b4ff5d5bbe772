"""What a devnet needs and Python does not bring: Anvil, a Solidity compiler, the iExec contracts. All come by npm.

They lie in a cache folder, one sub-folder per version, put there whole or not at all.
"""

import base64
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from indexer.errors import SetupFailed

HERE = Path(__file__).parent
ANVIL_VERSION = "1.7.1"
SOLC_VERSION = "0.8.30"
POCO_VERSION = "6.1.0"
# npm's `dist.integrity` of @iexec/poco@6.1.0; `npm pack` itself checks nothing that we pinned.
POCO_SHA512 = "BPbDtf2fgQuotr6rf74ACVdwlKqkErEZ8qLbTWM+2CIBj2EX3+6KBGWsFoudoOGjgT7vUJ3jeNX8SWvHzSHg6A=="
OLDEST_NODE = 20
NPM_SECONDS = 300


class Tools(NamedTuple):
    """Where the installed parts are: the Anvil binary, the unpacked `@iexec/poco` and `solc` packages.

    `cache` is the folder that holds them; what is made from them may be kept there too.
    """

    anvil: Path
    poco: Path
    solc: Path
    cache: Path


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/taskscan`, else `~/.cache/taskscan` (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "taskscan"


def install(cache: Path | None = None) -> Tools:
    """Return the tools, installing what is missing into `cache` (default: `default_cache()`).

    Safe when several processes do it at once, and needs neither node nor the network once all is there.
    Raises SetupFailed: node is too old or missing, npm is missing, a download failed, a folder cannot be written.
    """
    folder = cache or default_cache()
    node, poco = folder / f"anvil-{ANVIL_VERSION}-solc-{SOLC_VERSION}", folder / f"poco-{POCO_VERSION}"
    try:
        if not (node.is_dir() and poco.is_dir()):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                _once(node, _fetch_anvil)
                _once(poco, _fetch_poco)
        return Tools(_anvil_binary(node), poco / "package", node / "node_modules" / "solc", folder)
    except OSError as error:
        raise SetupFailed(
            f"The devnet's tools cannot be kept in {folder}: {error.strerror or error}. Free space there, or set"
            " XDG_CACHE_HOME to a folder that can be written."
        ) from error


def node_packages(lock_file: Path, name: str, what: str, cache: Path | None = None) -> Path:
    """The `node_modules` of a package-lock.json beside its package.json, installed as `name` where it is missing.

    `what`: the packages in words. Raises SetupFailed as `install` does.
    """
    target = (cache or default_cache()) / name
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent):
            _once(target, partial(_fetch_packages, lock_file.parent, what))
    return target / "node_modules"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(target: Path, fetch: Callable[[Path], None]) -> None:
    """Fill a folder beside `target` and rename it, so that a half-filled one is never seen."""
    if target.is_dir():
        return
    _check_node()
    side = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fetch(side)
        side.chmod(0o755)
        side.rename(target)
    finally:
        shutil.rmtree(side, ignore_errors=True)


def _check_node() -> None:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise SetupFailed(f"{tool} is missing: install Node.js {OLDEST_NODE} or newer with npm for the devnet.")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = re.match(r"v(\d+)", version)
    if major is None or int(major[1]) < OLDEST_NODE:
        raise SetupFailed(f"The devnet needs Node.js {OLDEST_NODE} or newer, not {version or 'this one'}. Upgrade it.")


def _npm(arguments: list[str], folder: Path, what: str) -> None:
    quiet = {"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false"}
    try:
        done = subprocess.run(
            ["npm", *arguments],
            cwd=folder,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupFailed(f"{what} took longer than {NPM_SECONDS} s to download. Check the network.") from None
    if done.returncode:
        # Only npm's error code is shown: the full text can hold a registry URL with a password.
        code = re.search(r"npm (?:error|ERR!) code (\w+)", done.stderr)
        why = f"npm says {code[1]}" if code else f"npm ended with {done.returncode}"
        raise SetupFailed(f"{what} could not be downloaded ({why}). Check the network and npm's registry.")


def _fetch_anvil(side: Path) -> None:
    _fetch_packages(HERE, f"Anvil {ANVIL_VERSION} (npm @foundry-rs/anvil) and solc {SOLC_VERSION}", side)
    _anvil_binary(side)


def _fetch_packages(source: Path, what: str, side: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, side / name)
    # Install scripts are off: Anvil's only searches the binary, which lies in the platform's own package.
    _npm(["ci", "--ignore-scripts", "--include=optional"], side, what)


def _anvil_binary(folder: Path) -> Path:
    found = sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"))
    if not found:
        raise SetupFailed(f"Anvil {ANVIL_VERSION} does not exist for {platform.system()} on {platform.machine()}.")
    return found[0]


def _fetch_poco(side: Path) -> None:
    what = f"The iExec contracts (npm package @iexec/poco {POCO_VERSION})"
    # `npm install` fails on the package's git dependencies, which nobody needs to run compiled contracts.
    _npm(["pack", f"@iexec/poco@{POCO_VERSION}", "--ignore-scripts"], side, what)
    tarball = next(side.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if digest != POCO_SHA512:
        raise SetupFailed(f"{what} came with another checksum than the pinned one. Do not trust that npm registry.")
    with tarfile.open(tarball) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                target = side / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    tarball.unlink()
