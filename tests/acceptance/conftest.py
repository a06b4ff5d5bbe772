"""The databases of the integration tests, and the command."""

from tests.acceptance.command import taskscan
from tests.integration.conftest import database, migrated, server_url, template

__all__ = ["database", "migrated", "server_url", "taskscan", "template"]
