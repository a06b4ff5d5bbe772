"""One settings tree: a TOML file, `${VAR}` in any of its strings, and TASKSCAN_* variables on top.

`TASKSCAN_DATABASE_URL` sets `database.url`, `TASKSCAN_DATABASE_DATA_DIR` sets `database.data_dir`. Everything
wrong in a file is reported at once, each fault with the key it belongs to and, for a misspelt key, the nearest
right one.
"""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic import model_validator as validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from indexer.errors import ConfigError
from indexer.networks import NETWORKS
from indexer.networks.chains import CHAINS

DEFAULT_FILE = Path("taskscan.toml")


def _address(text: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ValueError(f"{text!r} is not an address: 0x and 40 hexadecimal digits are needed")
    return text.lower()


def _url(text: SecretStr) -> SecretStr:
    if not re.match(r"(https?|wss?)://[^/]", text.get_secret_value()):
        raise ValueError("an RPC URL begins with http://, https://, ws:// or wss:// and names a host")
    return text


def _endpoint(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _network(name: str) -> str:
    if name not in NETWORKS:
        raise ValueError(f"this version reads {' and '.join(sorted(NETWORKS))}")
    return name


Address = Annotated[str, AfterValidator(_address)]


class Part(BaseModel):
    """A table of the file: unknown keys are faults, not decoration."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Database(Part):
    """Where the tables live. Without `url` Taskscan runs a PostgreSQL of its own in `data_dir`."""

    url: SecretStr | None = Field(None, description="postgresql://user:password@host:port/name of a server of yours")
    data_dir: Path = Field(Path(".taskscan"), description="folder of the embedded PostgreSQL")


class Rpc(Part):
    """One provider of a chain."""

    url: Annotated[SecretStr, AfterValidator(_url)] = Field(description="http(s):// or ws(s):// endpoint")
    headers: dict[str, SecretStr] = Field({}, description="sent with every request")
    max_rps: float | None = Field(None, gt=0, description="requests per second that the provider allows")


class Chain(Part):
    """A chain and who is asked about it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="how views, logs and commands call the chain")
    kind: Literal["evm"] = Field("evm", description="what protocol it speaks")
    chain_id: int = Field(gt=0, description="its EIP-155 number; a provider of another chain is refused")
    clock: Literal["wall", "head"] = Field("wall", description="what `now` means: wall clock, or newest block's time")
    rpc: list[Annotated[Rpc, BeforeValidator(_endpoint)]] = Field(
        [], description="its providers; default: the public ones of a known chain"
    )

    @validator(mode="after")
    def _some_http(self) -> Self:
        if not self.rpc and self.chain_id in CHAINS:
            self.rpc = [Rpc(url=SecretStr(url)) for url in CHAINS[self.chain_id].rpc]
        if not self.rpc:
            raise ValueError(f"rpc is missing: no public provider of chain {self.chain_id} is known")
        if not self.http:
            raise ValueError(f"chain {self.name} has no http(s) endpoint; ws(s) alone cannot read history")
        return self

    @property
    def http(self) -> list[Rpc]:
        """The endpoints that ranges of blocks can be read from."""
        return [rpc for rpc in self.rpc if rpc.url.get_secret_value().startswith("http")]


class Source(Part):
    """A network on a chain: what to read."""

    network: Annotated[str, AfterValidator(_network)] = Field(description="arbius or iexec")
    chain: str = Field(description="name of one of the [[chains]]")
    addresses: list[Address] = Field([], description="engines or hubs; default: the known deployments")
    start_block: int | None = Field(None, ge=0, description="first block to read; default: where the contract begins")
    evidence: Literal["single", "head-bound"] = Field(
        "head-bound", description="least evidence of completeness with which a range counts as covered"
    )


class Settings(BaseSettings):
    """The whole tree. Build it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix="TASKSCAN_", env_nested_delimiter="_", env_nested_max_split=1, extra="forbid",
        hide_input_in_errors=True,
    )  # fmt: skip

    database: Database = Database()
    chains: list[Chain] = Field([], description="the chains to read")
    sources: list[Source] = Field([], description="the networks to read on them")

    @validator(mode="after")
    def _names_match(self) -> Self:
        names = [chain.name for chain in self.chains]
        numbers = [str(chain.chain_id) for chain in self.chains]
        for kind, seen in (("name", names), ("chain_id", numbers)):
            if double := next((value for value in seen if seen.count(value) > 1), None):
                raise ValueError(f"two [[chains]] have the {kind} {double}")
        for source in self.sources:
            if source.chain not in names:
                near = _nearest(source.chain, names)
                raise ValueError(f"a [[sources]] entry names the chain {source.chain!r}, which is no [[chains]]{near}")
        return self

    def chain(self, name: str) -> Chain:
        """The chain of that name, which `load` has checked to exist."""
        return next(chain for chain in self.chains if chain.name == name)


def find_file(given: Path | None) -> Path | None:
    """The configuration to use: `given`, else TASKSCAN_CONFIG, else ./taskscan.toml; None means the demo."""
    if given or os.environ.get("TASKSCAN_CONFIG"):
        path = given or Path(os.environ["TASKSCAN_CONFIG"])
        if not path.is_file():
            raise ConfigError(f"{path} is not a file. Correct --config or TASKSCAN_CONFIG.")
        return path
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load(path: Path) -> Settings:
    """Read and check the file. Raises ConfigError that lists every fault in it."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    settings = build(_expand(tree, str(path), ""), str(path))
    if not settings.chains or not settings.sources:
        raise ConfigError(f"{path} names nothing to read: it needs at least one [[chains]] and one [[sources]].")
    return settings


def build(tree: dict[str, Any], origin: str) -> Settings:
    """Settings from a tree of plain values; `origin` names it in errors. TASKSCAN_* wins over the tree."""
    known = {key: value for key, value in tree.items() if key != "database"}
    table = tree.get("database", {})
    overlay = {
        key: os.environ[f"TASKSCAN_DATABASE_{key.upper()}"]
        for key in Database.model_fields
        if os.environ.get(f"TASKSCAN_DATABASE_{key.upper()}")
    }
    database = {**table, **overlay} if isinstance(table, dict) else table
    try:
        return Settings(database=database, **known)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(fault, origin) for fault in error.errors())) from None


def _expand(value: Any, origin: str, where: str) -> Any:
    """`value` with each `${VAR}` in its strings replaced by the environment's value."""
    if isinstance(value, dict):
        return {key: _expand(item, origin, f"{where}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, origin, f"{where}[{n}]") for n, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in re.findall(r"\$\{(\w+)\}", value):
        if name not in os.environ:
            raise ConfigError(f"{origin}: {where} uses ${{{name}}}, but the variable {name} is not set. Set it.")
    return re.sub(r"\$\{(\w+)\}", lambda found: os.environ[found[1]], value)


def _sentence(fault: Any, origin: str) -> str:
    parts = fault["loc"]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    if fault["type"] == "extra_forbidden":
        return f"{origin}: there is no key {place}{_nearest(str(parts[-1]), _keys(parts[:-1]))}"
    if fault["type"] == "missing":
        return f"{origin}: {place} is missing."
    text = re.sub(r"^Value error, ", "", fault["msg"]).rstrip(".")
    return f"{origin}: {place + ': ' if place else ''}{text}."


def _keys(parts: tuple[int | str, ...]) -> list[str]:
    """The right keys of the table that an error's location names."""
    tables: dict[str, type[BaseModel]] = {"database": Database, "chains": Chain, "sources": Source, "rpc": Rpc}
    names = [part for part in parts if isinstance(part, str) and part in tables]
    return list((tables[names[-1]] if names else Settings).model_fields)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}."
