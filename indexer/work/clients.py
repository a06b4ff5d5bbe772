"""Who may ask the queue: clients with an id and a secret, and the tokens that they get for it.

Secrets and tokens are made here, 256 random bits each, so a plain hash of them cannot be reversed; only hashes are
stored. Inside the caller's transaction, like the rest.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from indexer.errors import TaskRefused
from schema.work import clients, tokens

TOKEN_SECONDS = 3600
LONGEST = 256  # characters of an id, a secret or a token
NOW = sa.func.clock_timestamp()


def add(connection: sa.Connection, client_id: str, lasts: timedelta | None = None) -> str:
    """Make a client, or give a known one a new secret; the secret, which nobody can read again."""
    secret = secrets.token_urlsafe(32)
    values = {"secret_hash": _hash(client_id, secret), "expires_at": NOW + lasts if lasts else None}
    new = insert(clients).values(id=client_id, **values)
    connection.execute(new.on_conflict_do_update(index_elements=[clients.c.id], set_=values))
    connection.execute(sa.delete(tokens).where(tokens.c.client_id == client_id))
    return secret


def remove(connection: sa.Connection, client_id: str) -> bool:
    """Let a client ask no more; False when there was none."""
    return connection.execute(sa.delete(clients).where(clients.c.id == client_id)).rowcount > 0


def of_header(connection: sa.Connection, header: str) -> str:
    """The client that an Authorization header proves: Basic or Bearer. Raises TaskRefused (401)."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "basic":
        return of_secret(connection, *_login(rest))
    if scheme.lower() == "bearer":
        return _of_token(connection, rest.strip())
    raise refused()


def of_secret(connection: sa.Connection, client_id: str, secret: str, *, held: bool = False) -> str:
    """The client's id if the secret is its own. Raises TaskRefused (401), after the same work for an unknown id.

    `held`: the secret stays as it is until the transaction ends, so that no token of an old one outlasts it.
    """
    known = sa.select(clients.c.secret_hash).where(clients.c.id == client_id, _valid(clients.c.expires_at))
    if held:
        known = known.with_for_update(read=True)
    stored = connection.scalar(known) if _plain(client_id) else None
    same = hmac.compare_digest(stored or bytes(32), _hash(client_id[:LONGEST], secret[:LONGEST]))
    if stored is None or not same:
        raise refused()
    return client_id


def token(connection: sa.Connection, client_id: str) -> str:
    """A new access token of a client that has proved itself, good for `TOKEN_SECONDS`."""
    made = secrets.token_urlsafe(32)
    connection.execute(sa.delete(tokens).where(tokens.c.expires_at < NOW))
    until = NOW + timedelta(seconds=TOKEN_SECONDS)
    connection.execute(sa.insert(tokens).values(token_hash=_hash("", made), client_id=client_id, expires_at=until))
    return made


def refused() -> TaskRefused:
    """What everybody hears who does not prove to be a client; it does not say what was wrong."""
    return TaskRefused("Client id and secret, or the token, are not valid.", kind="unauthorized", status=401)


def _of_token(connection: sa.Connection, text: str) -> str:
    # The hash is looked up, so how long that takes tells nothing about the token.
    joined = tokens.join(clients, clients.c.id == tokens.c.client_id)
    known = sa.select(clients.c.id).select_from(joined).where(
        tokens.c.token_hash == _hash("", text[:LONGEST]), tokens.c.expires_at > NOW, _valid(clients.c.expires_at)
    )  # fmt: skip
    found = connection.scalar(known)
    if found is None:
        raise refused()
    return str(found)


def _login(text: str) -> tuple[str, str]:
    try:
        client_id, colon, secret = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise refused() from None
    if not colon:
        raise refused()
    return client_id, secret


def _valid(until: sa.ColumnElement[object]) -> sa.ColumnElement[bool]:
    return sa.or_(until.is_(None), until > NOW)


def _plain(client_id: str) -> bool:
    return len(client_id) <= LONGEST and "\0" not in client_id and client_id.isprintable()


def _hash(client_id: str, secret: str) -> bytes:
    key = hashlib.blake2b(client_id.encode(errors="replace"), digest_size=32).digest()
    return hashlib.blake2b(secret.encode(errors="replace"), digest_size=32, key=key).digest()
