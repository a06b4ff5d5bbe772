"""Asking the database: what the commands, and later the HTTP API and notebooks, share."""
