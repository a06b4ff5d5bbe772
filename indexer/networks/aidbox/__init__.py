"""Aidbox: what its Workflow Engine's tasks, workflows and task logs mean (aidbox.md B).

There is no chain: an installation numbers its transactions, and the number of the one that made a version of a
resource is that version's id. It stands where other networks have blocks. Pure: JSON in, typed rows out.
"""

from indexer.networks.aidbox.resource import Unreadable, Version, read
from indexer.networks.aidbox.values import parse
from indexer.networks.aidbox.words import LOG, TASK, WORKFLOW

RESOURCES = (TASK, WORKFLOW, LOG)
"""The types of resources that are read, in the order in which they are."""

__all__ = ["LOG", "RESOURCES", "TASK", "WORKFLOW", "Unreadable", "Version", "parse", "read"]
