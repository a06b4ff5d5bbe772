"""Installing the devnet's tools, with stand-ins for node and npm on the PATH."""

import base64
import hashlib
import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from indexer.devnet import tools
from indexer.errors import SetupFailed

NPM = """#!/bin/sh
echo "$1" >>"{log}"
sleep 0.2
case "$1" in
ci) test -f package-lock.json && mkdir -p node_modules/@foundry-rs/anvil-linux-amd64/bin \\
    && touch node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil ;;
pack) cp "{tarball}" . ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with a good node, a good npm and the few programs they use."""
    folder = tmp_path / "bin"
    folder.mkdir()
    put(folder / "node", "#!/bin/sh\necho v20.1.0\n")
    tarball = make_tarball(tmp_path / "iexec-poco-6.1.0.tgz")
    put(folder / "npm", NPM.format(log=tmp_path / "log", tarball=tarball))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    monkeypatch.setattr(tools, "POCO_SHA512", base64.b64encode(digest).decode())
    return folder


def put(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def make_tarball(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/deployments/arbitrum/RLC.json")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"{}"))
    return path


def test_both_are_installed_once_and_then_need_nothing(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "new" / "cache with space"
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(tools.install, [cache] * 4))
    assert len(found) == 1
    (installed,) = found
    assert installed.anvil.is_file()
    assert (installed.poco / "deployments/arbitrum/RLC.json").read_text() == "{}"
    assert (tmp_path / "log").read_text().split() == ["ci", "pack"]
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "anvil-1.7.1-solc-0.8.30", "poco-6.1.0"]
    monkeypatch.setenv("PATH", "")
    assert tools.install(cache) == installed


def test_a_missing_node_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupFailed, match=r"^node is missing: install Node\.js 20 or newer"):
        tools.install(tmp_path / "cache")


def test_a_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "node", "#!/bin/sh\necho v22.0.0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupFailed, match=r"^npm is missing"):
        tools.install(tmp_path / "cache")


def test_an_old_node_is_refused(tmp_path: Path, programs: Path) -> None:
    put(programs / "node", "#!/bin/sh\necho v18.19.1\n")
    with pytest.raises(SetupFailed, match=r"needs Node\.js 20 or newer, not v18\.19\.1"):
        tools.install(tmp_path / "cache")


def test_a_failed_download_tells_no_secret_and_leaves_nothing(tmp_path: Path, programs: Path) -> None:
    put(programs / "npm", "#!/bin/sh\necho 'npm error code E401 https://me:secret@registry/' >&2\nexit 1\n")
    with pytest.raises(SetupFailed, match=r"Anvil 1\.7\.1 .* could not be downloaded \(npm says E401\)") as caught:
        tools.install(tmp_path / "cache")
    assert "secret" not in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_another_tarball_is_refused(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "POCO_SHA512", "AAAA")
    with pytest.raises(SetupFailed, match="another checksum"):
        tools.install(tmp_path / "cache")
    assert not (tmp_path / "cache" / "poco-6.1.0").exists()


def test_a_platform_without_anvil_is_named(tmp_path: Path, programs: Path) -> None:
    put(programs / "npm", "#!/bin/sh\nmkdir -p node_modules\n")
    with pytest.raises(SetupFailed, match=r"Anvil 1\.7\.1 does not exist for "):
        tools.install(tmp_path / "cache")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupFailed, match=r"cannot be kept in .*file/cache: Not a directory"):
        tools.install(tmp_path / "file" / "cache")


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tools.default_cache() == tmp_path / "taskscan"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert tools.default_cache() == tmp_path / "home" / ".cache" / "taskscan"


def test_the_lock_file_pins_by_hash_and_names_no_registry() -> None:
    lock = json.loads((tools.HERE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert not any("resolved" in entry for entry in packages.values())
    anvils = [entry for name, entry in packages.items() if "@foundry-rs" in name]
    assert {entry["version"] for entry in anvils} == {tools.ANVIL_VERSION}
    assert packages["node_modules/solc"]["version"] == tools.SOLC_VERSION
    for name in ("@foundry-rs/anvil", "@foundry-rs/anvil-linux-amd64", "solc"):
        assert packages[f"node_modules/{name}"]["integrity"].startswith("sha512-")


def test_the_sdks_lock_file_pins_by_hash_and_names_no_registry() -> None:
    lock = json.loads((Path(__file__).parents[1] / "sdk" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages["node_modules/iexec"]["version"] == "9.0.1"
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in packages.values())


def test_packages_of_a_lock_file_are_installed_once(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "package-lock.json").write_text("{}")
    (tmp_path / "package.json").write_text("{}")
    for _ in range(2):
        found = tools.node_packages(tmp_path / "package-lock.json", "some-1.0", "Some packages", tmp_path / "cache")
        assert (found / "@foundry-rs").is_dir()
    assert (tmp_path / "log").read_text().split() == ["ci"]
