"""Lock files and whole-file writes for the embedded server. The kernel frees a lock when its holder dies."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, prepare: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path`` alone, waiting for it as long as needed.

    ``prepare`` makes the folder of ``path``; it runs again when somebody deletes the folder while we wait.
    """
    while (fd := _take(path, prepare)) is None:
        pass
    try:
        yield
    finally:
        os.close(fd)


def try_lock(path: Path) -> int | None:
    """Return a file descriptor that holds the lock file ``path`` alone, or None if anybody else holds it."""
    fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def share(path: Path) -> int:
    """Return a file descriptor that holds the lock file ``path`` together with other sharers."""
    fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def is_locked(path: Path) -> bool:
    """Tell whether anybody holds the lock file ``path``; False where there is none."""
    if not path.exists() or (fd := try_lock(path)) is None:
        return path.exists()
    os.close(fd)
    return False


def write(path: Path, text: str, mode: int) -> None:
    """Write ``path`` as a whole or not at all, with exactly this mode, whatever the umask."""
    side = path.with_name(f"{path.name}.new")
    side.unlink(missing_ok=True)
    with os.fdopen(os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    side.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Create ``folder`` with this mode and owner (uid, gid); one that exists stays as it is."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(mode)
    if owner:
        os.chown(folder, *owner)


def _take(path: Path, prepare: Callable[[], None]) -> int | None:
    prepare()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    fcntl.flock(fd, fcntl.LOCK_EX)
    # Whoever held it may have deleted the file: then we hold a lock that nobody else sees.
    if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
        return fd
    os.close(fd)
    return None
