"""`chain.incidents`: what went wrong, in words, written in transactions of their own."""

import sqlalchemy as sa

from schema.chain import incidents

QUIET = sa.text("interval '1 hour'")


def note(connection: sa.Connection, chain_id: int, kind: str, subject: str, message: str) -> None:
    """Write an incident, or count it up when the same one was noted within the last hour."""
    c = incidents.c
    same = sa.and_(
        c.chain_id == chain_id, c.kind == kind, c.subject == subject, c.message == message,
        c.last_at > sa.func.now() - QUIET,
    )  # fmt: skip
    again = sa.update(incidents).where(same).values(times=c.times + 1, last_at=sa.func.now())
    if connection.execute(again).rowcount == 0:
        row = {"chain_id": chain_id, "kind": kind, "subject": subject, "message": message}
        connection.execute(sa.insert(incidents).values(**row))
