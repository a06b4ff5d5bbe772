"""Errors of tasks that ran together."""

import asyncio

import pytest

from indexer.errors import ConfigError, DatabaseDown, TaskscanError, ungrouped


async def fail(error: Exception) -> None:
    raise error


async def together(*errors: Exception) -> None:
    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            for error in errors:
                tasks.create_task(fail(error))


async def test_the_first_of_our_errors_comes_without_its_group() -> None:
    with pytest.raises(TaskscanError, match="first") as raised:
        await together(ConfigError("first"), DatabaseDown("second", database="x"))
    assert type(raised.value) is ConfigError


async def test_what_is_no_error_of_ours_stays_in_its_group_with_all_others() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await together(ConfigError("first"), ZeroDivisionError())
    assert list(map(type, raised.value.exceptions)) == [ConfigError, ZeroDivisionError]


async def test_what_does_not_fail_is_done() -> None:
    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            done = tasks.create_task(asyncio.sleep(0, "done"))
    assert done.result() == "done"
