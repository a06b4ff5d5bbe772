"""The configuration: what a file may say, and what is said about one that is wrong."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from indexer.cli.common import choose, demo_settings
from indexer.config import Settings, build, find_file, load
from indexer.errors import ConfigError

EXAMPLES = sorted((Path(__file__).parents[2] / "deploy").glob("*.toml"))
CHAIN: dict[str, Any] = {"name": "one", "chain_id": 42161, "rpc": ["https://rpc.example/key"]}
SOURCE: dict[str, Any] = {"network": "iexec", "chain": "one"}
HUB = "0x098BFCB1E50EBCA0BAA92C12EA0C3F045A1AD9F0"
SECRETS = ("pass-4e1", "key-77ab", "token-c0de")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TASKSCAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def tree(**changes: Any) -> dict[str, Any]:
    return {"chains": [CHAIN], "sources": [SOURCE], **changes}


def clinic(**changes: Any) -> dict[str, Any]:
    """A tree with one Aidbox."""
    own = {"name": "clinic", "kind": "aidbox", "url": "https://a", "client_id": "me", "client_secret": "geheim"}
    return {"chains": [own | changes], "sources": [{"network": "aidbox", "chain": "clinic"}]}


def chain(**changes: Any) -> dict[str, Any]:
    return tree(chains=[{**CHAIN, **changes}])


def source(**changes: Any) -> dict[str, Any]:
    return tree(sources=[{**SOURCE, **changes}])


def faults(wrong: dict[str, Any]) -> list[str]:
    """What is said about a tree, without the origin that begins each line."""
    with pytest.raises(ConfigError) as raised:
        build(wrong, "my.toml")
    assert raised.value.exit_code == 2
    lines = str(raised.value).splitlines()
    assert all(line.startswith("my.toml: ") for line in lines)
    return [line.removeprefix("my.toml: ") for line in lines]


def urls(settings: Settings) -> list[str]:
    return [rpc.url.get_secret_value() for rpc in settings.chains[0].rpc]


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_PASSWORD", "pass-4e1")
    monkeypatch.setenv("TOKEN", "token-c0de")
    file = tmp_path / "my.toml"
    file.write_text(
        f"""
        [database]
        url = "postgresql://me:${{PG_PASSWORD}}@db:5432/tasks"
        [[chains]]
        name = "arbitrum-one"
        chain_id = 42161
        clock = "head"
        rpc = ["https://a.example/x", {{ url = "wss://b.example", headers = {{ A = "B ${{TOKEN}}" }}, max_rps = 2 }}]
        [[sources]]
        network = "iexec"
        chain = "arbitrum-one"
        addresses = ["{HUB}"]
        start_block = 7
        evidence = "single"
        """,
        encoding="utf-8-sig",
    )
    settings = load(file)
    assert settings.database.url is not None
    assert settings.database.url.get_secret_value() == "postgresql://me:pass-4e1@db:5432/tasks"
    (only,), (read,) = settings.chains, settings.sources
    assert urls(settings) == ["https://a.example/x", "wss://b.example"]
    assert [rpc.url.get_secret_value() for rpc in only.http] == ["https://a.example/x"]
    assert only.rpc[1].headers["A"].get_secret_value() == "B token-c0de"
    assert (only.rpc[1].max_rps, only.clock, only.kind) == (2, "head", "evm")
    assert (read.addresses, read.start_block, read.evidence) == ([HUB.lower()], 7, "single")
    assert settings.chain("arbitrum-one") is only


def test_the_shortest_tree_has_the_defaults_of_the_design() -> None:
    settings = build({"chains": [{"name": "one", "chain_id": 42161}], "sources": [SOURCE]}, "my.toml")
    assert urls(settings) == ["https://arb1.arbitrum.io/rpc"]
    assert settings.database.url is None
    assert settings.database.data_dir == Path(".taskscan")
    assert (settings.chains[0].clock, settings.sources[0].evidence) == ("wall", "head-bound")
    assert (settings.sources[0].addresses, settings.sources[0].start_block) == ([], None)


def test_variables_are_put_in_wherever_a_string_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"A": "one", "B_2": "x$y", "ID": "42161", "HUB": HUB}.items():
        monkeypatch.setenv(name, value)
    rpc = [{"url": "https://${A}.example/${B_2}/${A}", "headers": {"X": "${B_2}"}}]
    found = build(
        {
            "chains": [{"name": "${A}", "chain_id": "${ID}", "rpc": rpc}],
            "sources": [{**SOURCE, "addresses": ["${HUB}"]}],
        },
        "my.toml",
    )
    assert urls(found) == ["https://one.example/x$y/one"]
    assert found.chains[0].rpc[0].headers["X"].get_secret_value() == "x$y"
    assert (found.chains[0].name, found.chains[0].chain_id) == ("one", 42161)
    assert found.sources[0].addresses == [HUB.lower()]


@pytest.mark.parametrize(
    ("wrong", "place", "variable"),
    [
        (chain(rpc=["${NO_SUCH_URL}"]), "chains[0].rpc[0]", "NO_SUCH_URL"),
        (chain(rpc=[{"url": "https://a", "headers": {"K": "x ${NO_SUCH}"}}]), "chains[0].rpc[0].headers.K", "NO_SUCH"),
        (tree(database={"url": "${NO_SUCH_PG}"}), "database.url", "NO_SUCH_PG"),
    ],
)
def test_an_unset_variable_is_named_with_its_key(wrong: dict[str, Any], place: str, variable: str) -> None:
    assert faults(wrong) == [f"{place} uses ${{{variable}}}, but the variable {variable} is not set. Set it."]


@pytest.mark.parametrize("text", ["${", "${}", "${MY-KEY}", "https://x/${ KEY }", "${KEY"])
def test_what_only_looks_like_a_variable_is_a_fault(text: str) -> None:
    assert faults(chain(rpc=[text])) == ["chains[0].rpc[0] holds a ${ that does not begin a ${VARIABLE}."]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (tree(sorces=[]), "there is no key sorces; did you mean sources?"),
        (tree(databse={}), "there is no key databse; did you mean database?"),
        (tree(database={"data_dri": "x"}), "there is no key database.data_dri; did you mean data_dir?"),
        (chain(chainid=1), "there is no key chains[0].chainid; did you mean chain_id?"),
        (chain(rpc=[{"url": "http://a", "heder": 1}]), "there is no key chains[0].rpc[0].heder; did you mean headers?"),
        (source(adresses=[]), "there is no key sources[0].adresses; did you mean addresses?"),
        (source(qq=1), "there is no key sources[0].qq; known are network, chain, addresses, start_block, evidence."),
        (tree(_env_file="x"), "there is no key _env_file; known are database, queue, chains, sources."),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_told_with_the_nearest_right_one(wrong: dict[str, Any], said: str) -> None:
    assert faults(wrong) == [said]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (chain(chain_id="many"), "chains[0].chain_id: Input should be a valid integer"),
        (chain(chain_id=0), "chains[0].chain_id: Input should be greater than 0"),
        (chain(chain_id=2**63), "chains[0].chain_id: Input should be less than or equal to 9223372036854775807"),
        (chain(name="Arbitrum One"), "chains[0].name: a name consists of lower-case letters, digits and dashes"),
        (chain(clock="sun"), "chains[0].clock: Input should be 'wall' or 'head'"),
        (chain(rpc="https://a"), 'chains[0].rpc can be several: write rpc = ["…"].'),
        (chain(rpc=["rpc.example"]), "chains[0].rpc[0].url: an RPC URL begins with http://"),
        (chain(rpc=["https://[::1"]), "chains[0].rpc[0].url: an RPC URL begins with http://"),
        (chain(rpc=["https://a:99999"]), "chains[0].rpc[0].url: an RPC URL begins with http://"),
        (chain(rpc=[{}]), "chains[0].rpc[0].url is missing."),
        (chain(rpc=[{"url": "https://a", "max_rps": 0}]), "chains[0].rpc[0].max_rps: Input should be greater than 0"),
        (chain(rpc=["wss://a"]), "chains[0]: chain one has no http(s) endpoint; ws(s) alone cannot read history."),
        (chain(rpc=[], chain_id=5), "chains[0]: rpc is missing: no public provider of chain 5 is known."),
        (source(network="kleros"), "sources[0].network: this version reads aidbox, arbius, iexec and koii."),
        (source(network="koii", addresses=[HUB]), f"sources[0].addresses[0]: '{HUB}' is not the id of a Koii task"),
        (tree(sources=[{"network": "koii", "chain": "one"}]), "koii needs a chain of kind k2, but one is of kind evm."),
        (chain(kind="k2"), "chains[0]: a chain of kind k2 has no chain_id."),
        (chain(kind="aidbox"), "chains[0]: a chain of kind aidbox has no chain_id."),
        (chain(url="http://a/"), "chains[0]: url is for chains of kind aidbox; this one is of kind evm."),
        (clinic(url="ftp://a"), "chains[0].url: an Aidbox URL begins with http:// or https:// and names a host"),
        (clinic(url="http://me:geheim@a"), "chains[0].url: an Aidbox URL begins with http:// or https:// and names a"),
        (clinic(client_secret=""), "chains[0]: client_secret is missing: a chain of kind aidbox needs url,"),
        (clinic(rpc=["http://a"]), "chains[0]: a chain of kind aidbox has no rpc: set url, client_id"),
        (source(network="aidbox", addresses=["x"]), "sources[0].addresses[0]: an aidbox source has no addresses"),
        (tree(sources=[{"network": "aidbox", "chain": "one"}]), "aidbox needs a chain of kind aidbox, but one is of"),
        (tree(chains=[{"name": "one", "kind": "k2"}]), "iexec needs a chain of kind evm, but one is of kind k2."),
        (tree(chains=[{"name": "one"}]), "chains[0]: chain_id is missing."),
        (source(addresses=["0x12"]), "sources[0].addresses[0]: '0x12' is not an address: 0x and 40 hexadecimal digits"),
        (source(addresses=HUB), "sources[0].addresses can be several: write addresses = "),
        (source(start_block=-1), "sources[0].start_block: Input should be greater than or equal to 0"),
        (
            source(evidence="hope"),
            "sources[0].evidence: Input should be 'single', 'head-bound', 'bloom', 'receipts' or 'second-provider'.",
        ),
        (source(evidence="second-provider"), 'evidence = "second-provider" needs http(s) endpoints of two providers'),
        (tree(sources=[{"network": "iexec"}]), "sources[0].chain is missing."),
        (source(chain="oen"), "a [[sources]] entry names the chain 'oen', which is no [[chains]]; did you mean one?"),
        (tree(chains=[CHAIN, {**CHAIN, "chain_id": 1}]), "two [[chains]] have the name one."),
        (tree(chains=[CHAIN, {**CHAIN, "name": "two"}]), "two [[chains]] have the chain_id 42161."),
        (tree(database={"url": "mysql://me:pass-4e1@db"}), "database.url: a database URL begins with postgresql://"),
        (tree(database={"url": ""}), "database.url: a database URL begins with postgresql://"),
        (tree(database={"data_dir": ""}), "database.data_dir: a folder is needed, such as .taskscan."),
        (tree(database=3), "database: Input should be a valid dictionary"),
        (tree(chains=CHAIN), "chains can be several: write [[chains]]."),
    ],
    ids=lambda item: item[:60] if isinstance(item, str) else "",
)
def test_a_wrong_value_is_told_with_its_place(wrong: dict[str, Any], said: str) -> None:
    (only,) = faults(wrong)
    assert only.startswith(said)


def test_everything_wrong_is_told_at_once() -> None:
    wrong = tree(
        chian=1,
        chains=[{"name": "one", "chain_id": "x", "rcp": [], "rpc": ["${NO_SUCH_VARIABLE}", "ftp://a"]}],
        sources=[{"network": "bitcoin"}],
    )
    told = faults(wrong)
    assert len(told) == 7
    for part in ("chian;", ".chain_id:", ".rcp;", "rpc[0] uses", "rpc[1].url:", "[0].network:", "[0].chain is missing"):
        assert sum(part in line for line in told) == 1, part


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tree(database={"url": "postgresql://file/db", "data_dir": "of-the-file"})
    monkeypatch.setenv("TASKSCAN_DATABASE_URL", "postgresql://environment/db")
    monkeypatch.setenv("TASKSCAN_DATABASE_DATA_DIR", "~/of-the-environment")
    for found in (build(wanted, "my.toml"), build(tree(), "my.toml")):
        assert found.database.url is not None
        assert found.database.url.get_secret_value() == "postgresql://environment/db"
        assert found.database.data_dir == Path.home() / "of-the-environment"
    monkeypatch.setenv("TASKSCAN_DATABASE_URL", "")
    monkeypatch.delenv("TASKSCAN_DATABASE_DATA_DIR")
    found = build(wanted, "my.toml")
    assert found.database.url is not None
    assert found.database.url.get_secret_value() == "postgresql://file/db", "an empty variable is none"
    assert found.database.data_dir == Path("of-the-file")


@pytest.mark.parametrize("name", ["TASKSCAN_CHAINS", "TASKSCAN_DATABASE"])
def test_a_variable_that_is_no_json_is_a_fault_of_the_user(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "{pass-4e1")
    with pytest.raises(ConfigError, match="TASKSCAN_") as raised:
        build(tree(), "my.toml")
    assert "pass-4e1" not in str(raised.value)


def test_the_demo_ignores_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TASKSCAN_DATABASE_URL", "postgresql://me:pass-4e1@production/tasks")
    monkeypatch.setenv("TASKSCAN_DATABASE_DATA_DIR", "/srv/production")
    monkeypatch.setenv("TASKSCAN_CHAINS", "junk")
    for found in (demo_settings(), choose(None).settings):
        assert found.database.url is None
        assert found.database.data_dir == Path(".taskscan/demo")
    assert choose(None).demo
    assert "the built-in demo" in capsys.readouterr().err


def test_which_file_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_file, named, here = tmp_path / "given.toml", tmp_path / "named.toml", tmp_path / "taskscan.toml"
    assert find_file(None) is None
    here.touch()
    assert find_file(None) == Path("taskscan.toml")
    monkeypatch.setenv("TASKSCAN_CONFIG", str(named))
    with pytest.raises(ConfigError, match=r"named\.toml is not a file. Correct --config or TASKSCAN_CONFIG"):
        find_file(None)
    named.touch()
    assert find_file(None) == named
    given_file.touch()
    assert find_file(given_file) == given_file
    with pytest.raises(ConfigError, match="is not a file"):
        find_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[database\n", r"is not TOML: .*line 1"),
        (b"\xff\xfe\x00", "is not TOML: .*utf-8"),
        (b"x = " + b"[" * 60_000 + b"]" * 60_000, "is nested too deeply|is not TOML"),
        (b"", r"names nothing to read: it needs at least one \[\[chains\]\]"),
        (b'[[chains]]\nname = "one"\nchain_id = 42161\n', "names nothing to read"),
    ],
)
def test_a_file_that_is_no_configuration(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as raised:
        load(file)
    assert str(file) in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"my\.toml cannot be read: No such file"):
        load(tmp_path / "my.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("my\0.toml"))


def test_no_secret_is_ever_shown() -> None:
    """Whatever else is wrong with the tree that holds them."""
    rpc = {"url": "https://a.example/v3/key-77ab", "headers": {"Authorization": "Bearer token-c0de"}}
    right = tree(database={"url": "postgresql://me:pass-4e1@db/tasks"}, chains=[{**CHAIN, "rpc": [rpc]}])
    settings = build(right, "my.toml")
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.chains), f"{settings.database}"]
    for wrong in (
        {**right, "database": {"url": "mysql://me:pass-4e1@db/tasks"}},
        {**right, "database": "postgresql://me:pass-4e1@db/tasks"},
        {**right, "chains": [{**CHAIN, "rpc": ["gopher://a/key-77ab", {**rpc, "max_rps": "token-c0de"}]}]},
        {**right, "chains": [{**CHAIN, "rpc": [{**rpc, "headers": "token-c0de"}], "chain_id": "key-77ab"}]},
        {**right, "chains": [{**CHAIN, "rpc": [{**rpc, "url": ["key-77ab"]}], "clock": "token-c0de"}]},
        {**right, "sources": ["key-77ab"]},
    ):
        shown += faults(wrong)
    assert not [text for text in shown for secret in SECRETS if secret in text]
    assert rpc["url"] in urls(settings)
    assert isinstance(settings.chains[0].rpc[0].url, SecretStr)


KEYS = st.text(max_size=6) | st.sampled_from(
    ["database", "chains", "sources", "url", "data_dir", "name", "chain_id", "clock", "rpc", "headers", "max_rps",
     "network", "chain", "addresses", "start_block", "evidence", "_env_file", "_cli_parse_args", "self", "tree"]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["${HOME}", "${NO_SUCH_VARIABLE}", "${", "https://a.example", "one", "iexec", "\0", "~nobody/x"]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@hypothesis_settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, JUNK, max_size=4), st.sampled_from([None, "database", "chains", "sources"]), JUNK)
def test_any_tree_gives_settings_or_a_list_of_faults(junk: dict[str, Any], part: str | None, inner: Any) -> None:
    wanted: dict[str, Any] = {**tree(), **junk}
    if part == "database":
        wanted[part] = {"url": inner, "data_dir": inner}
    elif part:
        wanted[part] = [
            {**(CHAIN if part == "chains" else SOURCE), "rpc" if part == "chains" else "addresses": [inner]}
        ]
    try:
        found = build(wanted, "my.toml")
    except ConfigError as error:
        said = str(error)
    else:
        assert isinstance(found, Settings)
        assert all(chain.http for chain in found.chains)
        assert all(found.chain(source.chain) for source in found.sources)
        return
    assert said.startswith("my.toml: ")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_load(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{(\w+)\}", example.read_text(encoding="utf-8")):
        monkeypatch.setenv(name, "postgresql://localhost/x" if "PG" in name or "DATABASE" in name else "value")
    settings = load(example)
    assert settings.sources
    assert all(chain.rpc or chain.url for chain in settings.chains)
