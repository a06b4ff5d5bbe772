"""Alembic's revisions. `indexer.store.migrate` runs them; `env` makes the views after each upgrade."""
