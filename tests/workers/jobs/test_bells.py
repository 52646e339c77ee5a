"""Who waits for news of a job is woken by them, by the clock, or where any may have been missed."""

import asyncio
from asyncio import get_running_loop

import pytest

from workers.jobs.bells import Bell, Bells

PATIENCE_S = 20


async def rings(bell: Bell) -> bool:
    """Waits longer than any test does."""
    async with asyncio.timeout(PATIENCE_S):
        return await bell.rings_before(get_running_loop().time() + 2 * PATIENCE_S)


async def is_silent(bell: Bell) -> bool:
    return not await bell.rings_before(get_running_loop().time())


async def test_news_of_a_job_wake_all_who_wait_for_it_and_no_others() -> None:
    bells = Bells()
    with bells.of("a") as one, bells.of("a") as two, bells.of("b") as other:
        waiting = [asyncio.create_task(rings(bell)) for bell in (one, two)]
        await asyncio.sleep(0)
        bells.ring("a")
        assert await asyncio.gather(*waiting) == [True, True]
        assert await is_silent(other)


async def test_all_are_woken_where_any_may_have_news() -> None:
    bells = Bells()
    with bells.of("a") as one, bells.of("b") as other:
        bells.ring(None)
        assert await rings(one)
        assert await rings(other)


async def test_a_ring_before_the_wait_is_heard_once() -> None:
    """Who listens, looks and then waits misses nothing between the two."""
    bells = Bells()
    with bells.of("a") as bell:
        bells.ring("a")
        bells.ring("a")
        assert await rings(bell)
        assert await is_silent(bell)


async def test_a_ring_that_came_in_time_counts_also_when_time_is_up() -> None:
    bells = Bells()
    with bells.of("a") as bell:
        bells.ring("a")
        assert not await is_silent(bell)


async def test_closed_bells_keep_no_one_waiting() -> None:
    bells = Bells()
    with bells.of("a") as early:
        waiting = asyncio.create_task(rings(early))
        await asyncio.sleep(0)
        bells.close()
        assert not await waiting
        bells.ring("a")
        assert not await rings(early)
        with bells.of("a") as late:
            assert not await rings(late)


async def test_no_one_waits_who_has_gone() -> None:
    bells = Bells()
    with bells.of("a"), bells.of("a"):
        assert bells.waiting("a") == 2
        with bells.of("b"):
            assert bells.waiting() == 3
    assert bells.waiting("a") == 0
    bells.ring("a")
    bells.ring(None)
    assert bells.waiting("a") == 0
    with pytest.raises(RuntimeError), bells.of("a"):
        raise RuntimeError
    assert not bells._bells  # nothing stays of jobs that once were waited for
