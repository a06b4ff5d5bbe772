"""What single values of a configuration must look like. Each raises ValueError that says what is needed."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo

from indexer.networks import NETWORKS
from indexer.networks.koii.base58 import is_address

KINDS = {**dict.fromkeys(NETWORKS, "evm"), "koii": "k2", "aidbox": "aidbox"}
"""Network -> kind of the chains that it lives on."""


def address(text: str, info: ValidationInfo) -> str:
    """The address of a contract in lower case, or the id of a Koii task."""
    if KINDS.get(info.data.get("network", "")) == "k2":
        if not is_address(text):
            raise ValueError(f"{text!r} is not the id of a Koii task: 32 bytes in base58 are needed")
        return text
    if info.data.get("network") == "aidbox":
        raise ValueError("an aidbox source has no addresses: all tasks of the installation are read")
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ValueError(f"{text!r} is not an address: 0x and 40 hexadecimal digits are needed")
    return text.lower()


def rpc_url(text: SecretStr) -> SecretStr:
    """The URL of an RPC endpoint."""
    if not _is_url(text.get_secret_value(), ("http", "https", "ws", "wss")):
        raise ValueError("an RPC URL begins with http://, https://, ws:// or wss:// and names a host")
    return text


def service_url(text: SecretStr) -> SecretStr:
    """The URL of a service."""
    if not _is_url(text.get_secret_value(), ("http", "https")):
        raise ValueError("the URL of a service begins with http:// or https:// and names a host")
    return text


def aidbox_url(text: SecretStr) -> SecretStr:
    """The URL of an Aidbox."""
    url = text.get_secret_value()
    if not _is_url(url, ("http", "https")) or "@" in urlsplit(url).netloc:
        raise ValueError("an Aidbox URL begins with http:// or https:// and names a host; the login has its own keys")
    return text


def database_url(text: SecretStr) -> SecretStr:
    """The URL of a database."""
    if not re.match(r"postgres(ql)?(\+psycopg)?://", text.get_secret_value()):
        raise ValueError("a database URL begins with postgresql://, as in postgresql://user:password@host:port/name")
    return text


def queue_url(text: str) -> str:
    """The URL of a job queue."""
    if not _is_url(text, ("http", "https")) or "@" in text:
        raise ValueError("the URL of a queue begins with http:// or https:// and names a host, without a login")
    return text


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def folder(path: Path) -> Path:
    """A folder, `~` expanded."""
    if path == Path() or "\0" in str(path):
        raise ValueError("a folder is needed, such as .taskscan")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("it begins with the home folder of a user that does not exist") from None


def chain_name(text: str) -> str:
    """The name of a chain."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", text):
        raise ValueError("a name consists of lower-case letters, digits and dashes")
    return text


def endpoint(value: object) -> object:
    """An RPC endpoint that may be written as its URL alone."""
    return {"url": value} if isinstance(value, str) else value


def known_network(name: str) -> str:
    """The name of a network that this version reads."""
    if name not in KINDS:
        *names, last = sorted(KINDS)
        raise ValueError(f"this version reads {', '.join(names)} and {last}")
    return name
