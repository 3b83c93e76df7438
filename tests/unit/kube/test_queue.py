"""The work queue: one worker a key, nothing lost, failures wait longer and longer."""

from __future__ import annotations

import asyncio

import pytest

from merope.kube import QueueClosed, WorkQueue


async def test_a_key_is_queued_once_and_keys_come_out_in_order():
    queue: WorkQueue[str] = WorkQueue()
    for key in "abacb":
        queue.add(key)

    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]
    assert len(queue) == 0


async def test_a_key_added_while_worked_on_comes_back_when_it_is_done_and_not_before():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")

    assert len(queue) == 0
    queue.done(key)
    assert len(queue) == 1
    queue.done(await queue.get())
    assert len(queue) == 0


async def test_failures_double_the_delay_up_to_the_longest_and_success_resets_it():
    queue: WorkQueue[str] = WorkQueue()
    delays = [queue.retry("a") for _ in range(20)]

    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 1000.0
    queue.forget("a")
    assert queue.retry("a") == 0.005
    assert [queue.retry("z") for _ in range(80)][-1] == 1000.0


async def test_of_several_delays_the_earliest_counts():
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 3600)
    queue.add_after("b", 0.02)
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)

    async with asyncio.timeout(2):
        assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert queue.delayed == 0


async def test_each_add_wakes_one_of_many_workers():
    queue: WorkQueue[int] = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in range(3):
        queue.add(key)

    assert sorted(await asyncio.gather(*workers)) == [0, 1, 2]


async def test_a_cancelled_worker_hands_its_key_to_another():
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()

    async with asyncio.timeout(1):
        assert await second == "a"


async def test_a_batch_takes_what_is_ready():
    queue: WorkQueue[str] = WorkQueue()
    for key in "abc":
        queue.add(key)

    assert await queue.get_batch(2) == ["a", "b"]
    assert await queue.get_batch() == ["c"]


async def test_closing_wakes_the_workers_and_takes_nothing_more():
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after("b", 0.001)
    queue.close()
    queue.add("a")

    with pytest.raises(QueueClosed):
        await waiting
    with pytest.raises(QueueClosed):
        await queue.get()
