"""`taskscan offchain`, as it is typed, against a recording's tasks and loopback services."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from typer.testing import CliRunner

from indexer.cli import app
from indexer.errors import ConfigError, TaskscanError, UsageError
from tests.integration.test_enrich import fetch
from tests.services import Services, serving
from tests.support import addresses, needs_recordings, toml_for

pytestmark = needs_recordings
IEXEC = 31337


@pytest.fixture
def services() -> Iterator[Services]:
    with serving(Services()) as services:
        yield services


@pytest.fixture
def config(iexec: str, services: Services, tmp_path: Path) -> Path:
    source = {"network": "iexec", "addresses": addresses("iexec-dev", "iexec-poco-6.1")}
    path = toml_for(tmp_path, iexec, "http://127.0.0.1:9", IEXEC, [source])
    places = f'ipfs_gateway = "{services.url}"\ncompass = "{services.url}"\n'
    path.write_text(path.read_text().replace("[[sources]]", f"{places}[[sources]]", 1))
    return path


def typed(*words: str) -> tuple[str, BaseException | None]:
    ended = CliRunner().invoke(app, ["offchain", *words])
    return ended.output, ended.exception


def completed(database: str) -> tuple[str, str]:
    """A completed task with a result on IPFS, and its location."""
    query = "SELECT taskid, results_text FROM iexec.tasks WHERE status = 3 AND results_text ~ '/ipfs/' LIMIT 1"
    (row,) = fetch(database, query)
    return f"0x{row['taskid'].hex()}", json.loads(row["results_text"])["location"]


def test_a_result_lands_in_a_folder(config: Path, services: Services, iexec: str, tmp_path: Path) -> None:
    task, location = completed(iexec)
    services.files[location] = b"PK\x03\x04"
    said, error = typed("results", task, "--to", str(tmp_path / "new"), "-c", str(config))
    assert error is None, said
    assert (tmp_path / "new" / f"{task}.zip").read_bytes() == b"PK\x03\x04"
    assert f"cid     {location.removeprefix('/ipfs/')}" in said
    assert "4 bytes" in said


def test_a_scheduler_is_asked_about_an_unset_task_too(config: Path, services: Services, iexec: str) -> None:
    (row,) = fetch(iexec, "SELECT taskid, workerpool FROM iexec.tasks WHERE status = 0 LIMIT 1")
    task, pool = f"0x{row['taskid'].hex()}", to_checksum_address(row["workerpool"])
    services.workerpools[pool], services.tasks[task] = services.url, {"currentStatus": "RECEIVED"}
    said, error = typed("info", task, "-c", str(config))
    assert error is None, said
    assert '"status": "RECEIVED"' in said


def test_the_challenge_is_written_to_be_signed(config: Path, services: Services, iexec: str, tmp_path: Path) -> None:
    (row,) = fetch(iexec, "SELECT taskid, workerpool, requester FROM iexec.tasks WHERE status = 3 LIMIT 1")
    task, file = f"0x{row['taskid'].hex()}", tmp_path / "challenge.json"
    services.workerpools[to_checksum_address(row["workerpool"])] = services.url
    said, error = typed("logs", task, "--challenge", str(file), "-c", str(config))
    assert error is None, said
    assert f"Sign {file} as 0x{row['requester'].hex()} within an hour" in said
    assert json.loads(file.read_text())["domain"] == {"name": "iExec Core", "version": "1", "chainId": IEXEC}
    signature = tmp_path / "signature"
    signature.write_text("0x12\n")
    _, error = typed("logs", task, "--challenge", str(file), "--signature", str(signature), "-c", str(config))
    assert isinstance(error, UsageError)
    assert "signature cannot be read" in str(error)
    _, error = typed("logs", task, "--challenge", str(signature), "--signature", str(signature), "-c", str(config))
    assert "holds no challenge" in str(error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "0x12"], "'0x12' is no id of an iExec task"),
        (["info", "0x" + 64 * "1"], "No iExec task 0x1111"),
        (["node-version", "abc"], "has no chain of kind k2"),
    ],
)
def test_mistakes_are_one_sentence(config: Path, words: list[str], message: str) -> None:
    _, error = typed(*words, "-c", str(config))
    assert isinstance(error, TaskscanError)
    assert message in str(error)
    assert error.exit_code == 2


def test_a_chain_that_is_not_configured_any_more(config: Path, iexec: str) -> None:
    config.write_text(config.read_text().replace('"test"', '"renamed"'))
    _, error = typed("info", completed(iexec)[0], "-c", str(config))
    assert isinstance(error, ConfigError)
    assert "no [[chains]] named test" in str(error)
