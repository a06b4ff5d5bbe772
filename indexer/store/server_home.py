"""Where the embedded PostgreSQL lives and which account runs it.

An ordinary user has everything in ``data_dir/postgres``. PostgreSQL refuses to run as root, and an unprivileged
account can enter no 0700 folder; so for root the cluster lives below `BASE`, and ``data_dir`` holds only a pointer.
The home itself belongs to root then, and only the folders of the data and the socket to the account.
"""

import hashlib
import json
import os
import pwd
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import SetupFailed
from indexer.store.server_files import make_folder, write

BASE = Path("/var/lib/taskscan")

# PostgreSQL's limit is 107 bytes for the whole name of a socket; a comma or a quote would end it early.
_LONGEST_SOCKET_DIR = 107 - len("/.s.PGSQL.65535")
_PLAIN = re.compile(r"/[\w./+-]+", re.ASCII)


@dataclass(frozen=True)
class Home:
    """The folder of one cluster. ``account`` is (uid, gid) to run as; None means the caller's own."""

    data_dir: Path
    path: Path
    account: tuple[int, int] | None

    @property
    def lock(self) -> Path:
        """Held while somebody starts, stops or removes the server. The first file made, the last deleted."""
        return self.path / "taskscan.lock"

    @property
    def users(self) -> Path:
        """Shared by all processes that use the server."""
        return self.path / "users.lock"

    @property
    def alive(self) -> Path:
        """Held by all processes of the server itself."""
        return self.path / "alive.lock"

    @property
    def pinned(self) -> Path:
        """There while the server is to outlive its users."""
        return self.path / "pinned"

    @property
    def identity(self) -> Path:
        """Port and password, for the life of the data folder."""
        return self.path / "cluster.json"

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder; complete as soon as it exists."""
        return self.path / "data"

    @property
    def side(self) -> Path:
        """Where the data folder is built."""
        return self.path / "data.new"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    @property
    def pointer(self) -> Path:
        return self.data_dir / "postgres.location"

    @property
    def socket_dir(self) -> Path:
        """Inside the home where that name is short and plain, else in the folder for temporary files."""
        name = f"taskscan-{os.geteuid()}-{_digest(self.path)}"
        candidates = (self.path / "socket", Path(tempfile.gettempdir()) / name)
        return next((folder for folder in candidates if _fits(folder)), Path("/tmp") / name)


def find(data_dir: Path) -> Home:
    """Return the home that belongs to ``data_dir``, whether it exists yet or not.

    Raises SetupFailed where several accounts would share one data folder.
    """
    data_dir = data_dir.resolve()
    own = Home(data_dir, data_dir / "postgres", None)
    _check_owner(own.pointer, data_dir)
    _check_owner(own.path, data_dir)
    if os.geteuid() != 0:
        return own
    path = _pointed(own.pointer) or BASE / _digest(data_dir)
    home = Home(data_dir, path, _account(path / "data"))
    _check_not_copied(home)
    return home


def prepare(home: Home) -> None:
    """Create the folders of ``home`` that are missing; leave those that exist as they are.

    Raises SetupFailed where something else has the place, or the cluster that the pointer names is gone.
    """
    home.data_dir.mkdir(parents=True, exist_ok=True)
    if home.account is None:
        make_folder(home.path, 0o700)
    else:
        make_folder(BASE, 0o755)
        if not home.path.exists() and home.pointer.exists():
            raise SetupFailed(
                f"The database of {home.data_dir} is gone: it was in {home.path}. "
                f"Bring that folder back, or delete {home.pointer} to begin with an empty one."
            )
        make_folder(home.path, 0o711)
    if not home.lock.exists() and any(home.path.iterdir()) and not home.lock.exists():
        raise SetupFailed(f"{home.path} is no database of Taskscan: move it away, or choose another data_dir.")


def point(home: Home) -> None:
    """For root: leave the pointer in the data folder."""
    if home.account and not home.pointer.exists():
        write(home.pointer, f"{home.path}\n", 0o600)


def forget(home: Home) -> None:
    """Delete the pointer."""
    home.pointer.unlink(missing_ok=True)


def prepare_socket_dir(home: Home) -> None:
    """Make the private folder of the socket, empty of what a killed server left. Call it while no server runs.

    Raises SetupFailed when somebody else took the name.
    """
    folder = home.socket_dir
    make_folder(folder, 0o700, home.account)
    found, owner = folder.lstat(), home.account[0] if home.account else os.geteuid()
    if folder.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
        raise SetupFailed(f"{folder}, the folder for the database's socket, belongs to somebody else: remove it.")
    for leftover in folder.iterdir():
        leftover.unlink()


def delete(home: Home) -> None:
    """Delete a home whose lock we hold and whose server is stopped. Raises SetupFailed if it holds foreign files."""
    parts = (home.side, home.data, home.path / "socket")
    names = {part.name for part in parts} | {home.lock.name, home.users.name, home.alive.name, home.pinned.name}
    names |= {home.identity.name, home.log.name, f"{home.log.name}.old", "postgresql.conf", "pg_hba.conf"}
    foreign = [path.name for path in home.path.iterdir() if path.name.removesuffix(".new") not in names]
    if foreign or home.path.is_symlink():
        raise SetupFailed(f"{home.path} holds files that are not Taskscan's ({foreign[:3]}): it is left as it is.")
    forget(home)
    for folder in (*parts, home.socket_dir):
        if folder.exists():
            shutil.rmtree(folder)
    for path in home.path.iterdir():
        if path != home.lock:
            path.unlink()
    home.lock.unlink()
    # Another command may have begun anew here already.
    with suppress(OSError):
        home.path.rmdir()


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _LONGEST_SOCKET_DIR and bool(_PLAIN.fullmatch(str(folder)))


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _check_owner(path: Path, data_dir: Path) -> None:
    try:
        owner = path.lstat().st_uid
    except FileNotFoundError:
        return
    if owner != os.geteuid():
        name = _account_name(owner)
        raise SetupFailed(
            f"The database in {data_dir} belongs to {name}: run this as {name}, or choose another data_dir."
        )
    if os.geteuid() == 0 and path.name == "postgres":
        raise SetupFailed(f"{path} is no database of Taskscan: move it away, or choose another data_dir.")


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _pointed(pointer: Path) -> Path | None:
    try:
        path = Path(pointer.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None
    if path.parent != BASE or not re.fullmatch(r"[0-9a-f]{16}", path.name):
        raise SetupFailed(f"{pointer} does not name a database of Taskscan: delete it to begin with an empty one.")
    return path


def _account(data: Path) -> tuple[int, int]:
    if data.exists():
        return data.stat().st_uid, data.stat().st_gid
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)[2:4]
    raise SetupFailed(
        "PostgreSQL refuses root, and there is no account 'nobody' to run it: run this as an ordinary user."
    )


def _check_not_copied(home: Home) -> None:
    """A data folder that was moved keeps its database; of two copies only the first may have it."""
    try:
        origin = Path(json.loads(home.identity.read_text(encoding="utf-8"))["data_dir"])
    except (FileNotFoundError, ValueError, KeyError):
        return
    if origin != home.data_dir and (origin / home.pointer.name).exists():
        raise SetupFailed(f"{home.data_dir} is a copy, its database belongs to {origin}: delete {home.pointer}.")
