"""The wheel in an environment of its own: everything is in it, and it works from any folder."""

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest

from indexer.store import server
from tests.acceptance.command import ROOT, config, environment
from tests.acceptance.node import CREATED, ENGINE, Node, running

HEAD = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this tree by the build backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def bin_dir(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment with the wheel and the locked dependencies, and nothing of this tree.

    The dependencies are those of the environment of the tests, by a line in a .pth file: .pth files that lie there,
    such as that of this tree's editable install, are not followed.
    """
    place = tmp_path_factory.mktemp("environment")
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(place / "env")], check=True)
        install = [uv, "pip", "install", "--quiet", "--offline", "--python", str(place / "env" / "bin" / "python")]
    else:
        venv.create(place / "env", with_pip=True)
        install = [str(place / "env" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-index"]
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    (own,) = (place / "env" / "lib").glob("python*/site-packages")
    (own / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return place / "env" / "bin"


def outside() -> dict[str, str]:
    return {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def said(command: list[str], folder: Path) -> str:
    ended = subprocess.run(command, cwd=folder, env=outside(), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_everything_is_in_the_wheel(wheel: Path) -> None:
    inside = set(ZipFile(wheel).namelist())
    tracked = {
        str(path.relative_to(ROOT))
        for top in ("indexer", "schema", "migrations")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix in (".py", ".sql", ".json", ".html", ".js", ".css")
    }
    assert {"schema/sql/10_freshness.sql", "migrations/env.py", "migrations/versions/r0001_ledger.py"} <= tracked
    assert tracked <= inside
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"indexer", "schema", "migrations", "taskscan"}


def test_the_installed_program_works_from_any_folder(bin_dir: Path, tmp_path: Path) -> None:
    """It makes an embedded database, with migrations and views from the wheel, and reads a chain into it."""
    where = "import indexer, migrations, schema; print(indexer.__file__, migrations.__file__, schema.__file__); "
    program = "import sys; sys.argv[1:] = ['--help']; from indexer.cli import main; main()"
    files, usage = said([str(bin_dir / "python"), "-c", where + program], tmp_path).split("\n", 1)
    assert all(file.startswith(str(bin_dir.parent)) for file in files.split()), files
    assert "Commands:" in usage
    with running(Node(HEAD)) as node:
        config(tmp_path, rpc=node.url, addresses=[ENGINE])
        try:
            said([str(bin_dir / "taskscan"), "run", "--until-synced", "--config", "my.toml"], tmp_path)
            with server.using(tmp_path / "data") as known, psycopg.connect(known.url) as connection:
                count = connection.execute("SELECT count(*) FROM arbius.task_retracted").fetchone()
                read_to = connection.execute("SELECT read_to FROM analytics.freshness").fetchone()
            assert (count, read_to) == ((HEAD - CREATED + 1,), (HEAD,))
        finally:
            server.remove(tmp_path / "data")


def test_no_dependency_brings_a_package_of_our_names() -> None:
    """`schema` and `migrations` are names that others could take too."""
    owners = importlib.metadata.packages_distributions()
    for name in ("indexer", "schema", "migrations"):
        assert set(owners.get(name, [])) <= {"taskscan"}
        found = [path for path in map(Path, sysconfig.get_paths().values()) if (path / name).exists()]
        assert found == [], "nor without saying so"


def test_the_lock_pins_what_is_installed() -> None:
    """Every dependency of the program, and theirs, has one version, with hashes, and that one is here."""
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {}
    for line in lock.splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name, _, rest = line.partition("==")
            pinned[name.strip().lower().replace("_", "-")] = rest.split()[0]
    assert lock.count("--hash=sha256:") > len(pinned)
    for requirement in importlib.metadata.requires("taskscan") or []:
        name = requirement.split(";")[0].split("[")[0].split(">")[0].split("=")[0].split("<")[0].strip().lower()
        assert importlib.metadata.version(name) == pinned[name], name
