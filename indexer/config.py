"""One settings tree: a TOML file, `${VAR}` in any of its strings, and TASKSCAN_* variables on top.

`TASKSCAN_DATABASE_URL` sets `database.url`, `TASKSCAN_DATABASE_DATA_DIR` sets `database.data_dir`. Everything
wrong in a file is reported at once, each fault with the key it belongs to and, for a misspelt key, the nearest
right one. No value of a file is repeated in an error unless it cannot be a secret.
"""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic import model_validator as validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from indexer.config_values import (
    KINDS,
    address,
    aidbox_url,
    chain_name,
    database_url,
    endpoint,
    folder,
    known_network,
    queue_url,
    rpc_url,
    service_url,
)
from indexer.errors import ConfigError
from indexer.networks.chains import CHAINS, K2_MAINNET

DEFAULT_FILE = Path("taskscan.toml")
LARGEST = 2**63 - 1  # of the database's bigint
VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")


Address = Annotated[str, AfterValidator(address)]
ServiceUrl = Annotated[SecretStr, AfterValidator(service_url)]


class Part(BaseModel):
    """A table of the file: unknown keys are faults, not decoration."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Database(Part):
    """Where the tables live. Without `url` Taskscan runs a PostgreSQL of its own in `data_dir`."""

    url: Annotated[SecretStr, AfterValidator(database_url)] | None = Field(
        None, description="postgresql://user:password@host:port/name of a server of yours"
    )
    data_dir: Annotated[Path, AfterValidator(folder)] = Field(
        Path(".taskscan"), description="folder of the embedded PostgreSQL"
    )


class Rpc(Part):
    """One provider of a chain."""

    url: Annotated[SecretStr, AfterValidator(rpc_url)] = Field(description="http(s):// or ws(s):// endpoint")
    headers: dict[str, SecretStr] = Field({}, description="sent with every request")
    max_rps: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="requests per second that the provider allows"
    )


class TaskNode(Part):
    """A task node of Koii that you run."""

    url: ServiceUrl = Field(description="its address, such as http://localhost:30017")
    secrets: dict[str, SecretStr] = Field({}, description="task id = the secret that the node gave to the task")


class Chain(Part):
    """A chain and who is asked about it."""

    name: Annotated[str, AfterValidator(chain_name)] = Field(description="how views, logs and commands call the chain")
    kind: Literal["evm", "k2", "aidbox"] = Field(
        "evm", description="what protocol it speaks: evm, k2 for Koii, or aidbox for an Aidbox installation"
    )
    chain_id: int = Field(
        0, gt=0, le=LARGEST, description="its EIP-155 number; a provider of another chain is refused. Only for evm"
    )
    clock: Literal["wall", "head"] = Field("wall", description="what `now` means: wall clock, or newest block's time")
    rpc: list[Annotated[Rpc, BeforeValidator(endpoint)]] = Field(
        [], description="its providers; default: the public ones of a known chain"
    )
    ipfs_gateway: ServiceUrl | None = Field(
        None, description="where results of iExec tasks are downloaded from; default: iExec's own of a known chain"
    )
    compass: ServiceUrl | None = Field(
        None, description="who knows the services of iExec's workerpools; default: iExec's own of a known chain"
    )
    task_node: TaskNode | None = Field(None, description="a task node of yours, asked for its version")
    url: Annotated[SecretStr, AfterValidator(aidbox_url)] | None = Field(
        None, description="aidbox only: where the installation is, up to before /rpc"
    )
    client_id: str = Field("", description="aidbox only: id of a Client that may read")
    client_secret: SecretStr = Field(SecretStr(""), description="aidbox only: its secret")

    @validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.kind == "evm") != bool(self.chain_id):
            kind = self.kind
            raise ValueError("chain_id is missing" if kind == "evm" else f"a chain of kind {kind} has no chain_id")
        own = {"url": self.url, "client_id": self.client_id, "client_secret": self.client_secret.get_secret_value()}
        if self.kind == "aidbox":
            if missing := [name for name, value in own.items() if not value]:
                raise ValueError(f"{missing[0]} is missing: a chain of kind aidbox needs url, client_id, client_secret")
            if self.rpc:
                raise ValueError("a chain of kind aidbox has no rpc: set url, client_id and client_secret")
            return self
        if given := [name for name, value in own.items() if value]:
            raise ValueError(f"{given[0]} is for chains of kind aidbox; this one is of kind {self.kind}")
        return self._with_providers()

    def _with_providers(self) -> Self:
        if not self.rpc and self.kind == "k2":
            self.rpc = [Rpc(url=SecretStr(K2_MAINNET))]
        if not self.rpc and self.chain_id in CHAINS:
            self.rpc = [Rpc(url=SecretStr(url)) for url in CHAINS[self.chain_id].rpc]
        if known := CHAINS.get(self.chain_id):
            self.ipfs_gateway = self.ipfs_gateway or (SecretStr(known.ipfs_gateway) if known.ipfs_gateway else None)
            self.compass = self.compass or (SecretStr(known.compass) if known.compass else None)
        if not self.rpc:
            raise ValueError(f"rpc is missing: no public provider of chain {self.chain_id} is known")
        if not self.http:
            raise ValueError(f"chain {self.name} has no http(s) endpoint; ws(s) alone cannot read history")
        return self

    @property
    def http(self) -> list[Rpc]:
        """The endpoints that ranges of blocks can be read from."""
        return [rpc for rpc in self.rpc if rpc.url.get_secret_value().startswith("http")]

    @property
    def hosts(self) -> set[str]:
        """Hosts and ports of these: an endpoint is a provider of its own where these differ."""
        return {urlsplit(rpc.url.get_secret_value()).netloc.rpartition("@")[2] for rpc in self.http}

    @property
    def websockets(self) -> list[Rpc]:
        """The endpoints that tell of new blocks by themselves."""
        return [rpc for rpc in self.rpc if rpc.url.get_secret_value().startswith("ws")]


class Source(Part):
    """A network on a chain: what to read."""

    network: Annotated[str, AfterValidator(known_network)] = Field(description="arbius, iexec, koii or aidbox")
    chain: str = Field(description="name of one of the [[chains]]")
    addresses: list[Address] = Field(
        [], description="engines or hubs; default: the known deployments. Koii: ids of tasks; default: all"
    )
    start_block: int | None = Field(
        None, ge=0, le=LARGEST, description="first block to read; default: where the contract begins"
    )
    evidence: Literal["single", "head-bound", "bloom", "receipts", "second-provider"] = Field(
        "head-bound",
        description="least evidence of completeness with which a range counts as covered; second-provider needs two",
    )


class Queue(Part):
    """The job queue that `worker` and `backfill` ask: one of Taskscan, or an Aidbox."""

    url: Annotated[str, AfterValidator(queue_url)] | None = Field(
        None, description="its http(s) URL; left out, `backfill` serves one of its own"
    )
    client_id: str = Field("", description="the client's id there")
    client_secret: SecretStr = Field(SecretStr(""), description="the client's secret")
    keep_days: int = Field(
        90, ge=1, le=36_500, description="how long a queue that is served here remembers a job after its end"
    )


class Settings(BaseSettings):
    """The whole tree. Build it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix="TASKSCAN_", env_nested_delimiter="_", env_nested_max_split=1, env_ignore_empty=True,
        extra="forbid", hide_input_in_errors=True,
    )  # fmt: skip

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """The environment wins over the file; there is no third place."""
        return env_settings, init_settings

    database: Database = Database()
    queue: Queue = Queue()
    chains: list[Chain] = Field([], description="the chains to read")
    sources: list[Source] = Field([], description="the networks to read on them")

    @validator(mode="after")
    def _names_match(self) -> Self:
        names = [chain.name for chain in self.chains]
        numbers = [str(chain.chain_id) for chain in self.chains if chain.chain_id]
        for kind, seen in (("name", names), ("chain_id", numbers)):
            if double := next((value for value in seen if seen.count(value) > 1), None):
                raise ValueError(f"two [[chains]] have the {kind} {double}")
        for source in self.sources:
            if source.chain not in names:
                near = _nearest(source.chain, names)
                raise ValueError(f"a [[sources]] entry names the chain {source.chain!r}, which is no [[chains]]{near}")
            if source.evidence == "second-provider" and len(self.chain(source.chain).hosts) < 2:
                raise ValueError(
                    f'evidence = "second-provider" needs http(s) endpoints of two providers, but chain {source.chain} '
                    f"has one; add another, or choose receipts"
                )
            if (kind := self.chain(source.chain).kind) != KINDS[source.network]:
                need = KINDS[source.network]
                raise ValueError(f"{source.network} needs a chain of kind {need}, but {source.chain} is of kind {kind}")
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
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None
    except RecursionError:
        raise ConfigError(f"{path} is not a configuration: it is nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    settings = build(tree, str(path))
    if not settings.chains or not settings.sources:
        raise ConfigError(f"{path} names nothing to read: it needs at least one [[chains]] and one [[sources]].")
    return settings


def build(tree: dict[str, Any], origin: str) -> Settings:
    """Settings from a tree of plain values; `origin` names it in errors. TASKSCAN_* wins over the tree.

    Raises ConfigError that lists every fault.
    """
    faults: dict[str, str] = {}  # by place
    tree = _expand(tree, "", faults)
    unset, known = tuple(faults), Settings.model_fields
    faults |= {key: f"there is no key {key}{_nearest(key, list(known))}" for key in tree if key not in known}
    try:
        settings = Settings(**{key: value for key, value in tree.items() if key in known})
    except ValidationError as error:
        found = {_place(fault["loc"]): _sentence(fault) for fault in error.errors()}
        faults |= {place: text for place, text in found.items() if not place.startswith(unset)}
    except SettingsError as error:
        raise ConfigError(f"A TASKSCAN_* variable cannot be used: {error}. Correct it or remove it.") from None
    if faults:
        raise ConfigError("\n".join(f"{origin}: {fault}" for fault in faults.values()))
    return settings


def _expand(value: Any, where: str, faults: dict[str, str]) -> Any:
    """`value` with each `${VAR}` in its strings replaced; what cannot be goes to `faults`, with its place."""
    if isinstance(value, dict):
        return {key: _expand(item, f"{where}.{key}".lstrip("."), faults) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{where}[{n}]", faults) for n, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name, closed in VARIABLE.findall(value):
        if not closed or not re.fullmatch(r"\w+", name):
            faults[where] = f"{where} holds a ${{ that does not begin a ${{VARIABLE}}."
        elif name not in os.environ:
            faults[where] = f"{where} uses ${{{name}}}, but the variable {name} is not set. Set it."
    return VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value)


def _place(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _sentence(fault: Any) -> str:
    parts, place = fault["loc"], _place(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"there is no key {place}{_nearest(str(parts[-1]), _keys(parts[:-1]))}"
    if fault["type"] == "missing":
        return f"{place} is missing."
    if fault["type"] == "list_type":  # what was given may be secret
        form = f"[[{parts[-1]}]]" if isinstance(fault["input"], dict) else f'{parts[-1]} = ["…"]'
        return f"{place} can be several: write {form}."
    text = re.sub(r"^Value error, ", "", fault["msg"]).rstrip(".")
    return f"{place + ': ' if place else ''}{text}."


def _keys(parts: tuple[int | str, ...]) -> list[str]:
    """The right keys of the table that an error's location names."""
    tables: dict[str, type[BaseModel]] = {"database": Database, "chains": Chain, "sources": Source, "rpc": Rpc}
    tables |= {"task_node": TaskNode, "queue": Queue}
    names = [part for part in parts if isinstance(part, str) and part in tables]
    return list((tables[names[-1]] if names else Settings).model_fields)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}."
