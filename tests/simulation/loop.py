"""An event loop in which time is a number and threads are a queue: nothing waits, and a seed always runs alike.

`asyncio.sleep`, timeouts and `loop.time()` live in simulated seconds. Work for threads runs in the loop itself, one
piece after the other, at a later turn than the one that asked for it, as a thread would.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now` is in seconds. `jump`: seconds that the clock leaps ahead at the next wait. `turns` counts what was done
    between two awaits; before number `doomed_at` of them, `doom` is called.
    """

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.jump = 0.0
        self.turns = 0
        self.doomed_at: int | None = None
        self.doom: Callable[[], object] = lambda: None
        super().__init__()
        self._clock_resolution = 1e-4  # simulated time is large: a nanosecond would vanish in it

    def time(self) -> float:
        """Simulated seconds."""
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func` at the loop's next turn, whether or not anybody still waits for it by then."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_soon(work)
        return future

    def _run_once(self) -> None:
        """One turn of asyncio's loop, after moving the clock to the next timer when nothing else is to be done."""
        self.turns += 1
        if self.doomed_at is not None and self.turns >= self.doomed_at:
            self.doomed_at = None
            self.doom()
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            self._timer_cancelled_count -= 1
        if scheduled and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, scheduled[0]._when) + self.jump
            self.jump = 0.0
        super()._run_once()  # type: ignore[misc]


class Killable(Protocol):
    """What notices that its process is dead."""

    dead: bool


async def doomed(life: Coroutine[Any, Any, None], turn: int | None, doom: Killable) -> asyncio.Task[None]:
    """Run `life` to its end, and kill it at that turn of the loop from now on; the task, which is done."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    task = running.create_task(life)

    def die() -> None:
        doom.dead = True
        task.cancel()

    running.doom, running.doomed_at = die, None if turn is None else running.turns + turn
    await asyncio.wait([task])
    running.doomed_at = None
    return task


async def sleep(seconds: float) -> None:
    """Let simulated time pass."""
    await asyncio.sleep(seconds)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
