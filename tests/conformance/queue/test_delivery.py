from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from convergence.errors import StoreUnavailable
from convergence.queue import Message

from .conftest import VISIBILITY

NOW = timedelta()
SHORT = timedelta(milliseconds=30)
LONG = timedelta(minutes=1)
PAST_A_CLAIM = VISIBILITY * 1.2
SOON = 20  # seconds: well before a claim gives up


async def claim_all(queue) -> list[Message]:
    messages = []
    while (message := await queue.claim(wait=SHORT)) is not None:
        messages.append(message)
    return messages


async def test_an_empty_queue_answers_none_after_the_wait(queue):
    started = time.monotonic()

    assert await queue.claim(wait=SHORT) is None
    assert time.monotonic() - started >= 0.025


async def test_a_wait_of_nothing_answers_at_once(queue):
    assert await queue.claim(wait=NOW) is None

    await queue.put(Message("acme", "run_1"))

    assert (await queue.claim(wait=NOW)).run_id == "run_1"


async def test_a_message_arrives_with_a_receipt(queue):
    await queue.put(Message("acme", "run_1", attempt=2))

    message = await queue.claim(wait=LONG)

    assert (message.org_slug, message.run_id, message.attempt) == ("acme", "run_1", 2)
    assert message.receipt != ""


async def test_a_waiting_claim_wakes_when_a_message_is_put(queue):
    claim = asyncio.create_task(queue.claim(wait=LONG))
    await asyncio.sleep(0.01)
    await queue.put(Message("acme", "run_1"))

    assert (await asyncio.wait_for(claim, SOON)).run_id == "run_1"


async def test_two_claimers_get_two_messages(queue):
    claims = [asyncio.create_task(queue.claim(wait=LONG)) for _ in range(2)]
    await asyncio.sleep(0.01)
    await queue.put(Message("acme", "run_1"))
    await queue.put(Message("acme", "run_2"))

    messages = await asyncio.wait_for(asyncio.gather(*claims), SOON)

    assert {message.run_id for message in messages} == {"run_1", "run_2"}


async def test_organizations_take_turns(queue):
    for run in range(4):
        await queue.put(Message("huge", f"run_{run}"))
    await queue.put(Message("small", "run_a"))
    await queue.put(Message("tiny", "run_b"))

    order = [message.org_slug for message in await claim_all(queue)]

    assert order == ["huge", "small", "tiny", "huge", "huge", "huge"]


async def test_one_organization_is_served_in_order(queue):
    for run in range(5):
        await queue.put(Message("acme", f"run_{run}"))

    assert [message.run_id for message in await claim_all(queue)] == [f"run_{run}" for run in range(5)]


async def test_the_same_run_and_attempt_waits_once(queue):
    for _ in range(3):
        await queue.put(Message("acme", "run_1"))
    await queue.put(Message("acme", "run_1", attempt=1))

    assert [message.attempt for message in await claim_all(queue)] == [0, 1]


async def test_a_delayed_message_also_waits_once(queue):
    await queue.put(Message("acme", "run_1"), delay=SHORT)
    await queue.put(Message("acme", "run_1"), delay=SHORT)
    await asyncio.sleep(0.05)

    assert len(await claim_all(queue)) == 1


async def test_one_run_id_of_two_organizations_is_two_messages(queue):
    await queue.put(Message("acme", "run_1"))
    await queue.put(Message("other", "run_1"))

    assert {message.org_slug for message in await claim_all(queue)} == {"acme", "other"}


async def test_a_claimed_run_can_be_announced_again(queue):
    await queue.put(Message("acme", "run_1"))
    first = await queue.claim(wait=LONG)
    await queue.put(Message("acme", "run_1"))

    second = await queue.claim(wait=LONG)

    assert second.run_id == "run_1"
    assert second.receipt != first.receipt


async def test_a_delayed_message_comes_when_it_is_due(queue):
    started = time.monotonic()
    await queue.put(Message("acme", "run_1"), delay=timedelta(milliseconds=400))

    assert (await queue.claim(wait=LONG)).run_id == "run_1"
    assert time.monotonic() - started >= 0.395


async def test_a_message_that_is_done_never_returns(impatient_queue):
    await impatient_queue.put(Message("acme", "run_1"))
    await impatient_queue.done(await impatient_queue.claim(wait=LONG))

    assert await impatient_queue.claim(wait=PAST_A_CLAIM) is None


async def test_a_message_that_is_not_done_comes_again(impatient_queue):
    await impatient_queue.put(Message("acme", "run_1"))
    first = await impatient_queue.claim(wait=LONG)

    again = await impatient_queue.claim(wait=LONG)

    assert (again.org_slug, again.run_id, again.attempt) == (first.org_slug, first.run_id, first.attempt)
    assert again.receipt != first.receipt


async def test_extending_keeps_it_away_from_others(impatient_queue):
    await impatient_queue.put(Message("acme", "run_1"))
    message = await impatient_queue.claim(wait=LONG)
    for _ in range(4):
        await asyncio.sleep(VISIBILITY.total_seconds() * 0.4)
        await impatient_queue.extend(message)

    assert await impatient_queue.claim(wait=timedelta(milliseconds=50)) is None
    await impatient_queue.done(message)


async def test_what_a_late_worker_says_changes_nothing(impatient_queue):
    await impatient_queue.put(Message("acme", "run_1"))
    late = await impatient_queue.claim(wait=LONG)
    again = await impatient_queue.claim(wait=LONG)
    await impatient_queue.done(late)
    await impatient_queue.retry(late, delay=NOW)
    await impatient_queue.extend(late)
    await impatient_queue.done(again)

    assert await impatient_queue.claim(wait=PAST_A_CLAIM) is None


async def test_a_retry_is_the_next_attempt_after_its_delay(impatient_queue):
    await impatient_queue.put(Message("acme", "run_1", attempt=1))
    started = time.monotonic()
    await impatient_queue.retry(await impatient_queue.claim(wait=LONG), delay=timedelta(milliseconds=60))

    message = await impatient_queue.claim(wait=LONG)

    assert (message.run_id, message.attempt) == ("run_1", 2)
    assert time.monotonic() - started >= 0.055
    await impatient_queue.done(message)
    assert await impatient_queue.claim(wait=PAST_A_CLAIM) is None


async def test_ping_answers(queue):
    await queue.ping()

    assert await queue.claim(wait=NOW) is None


async def test_closing_wakes_the_waiting_and_refuses_the_rest(queue):
    claim = asyncio.create_task(queue.claim(wait=LONG))
    await asyncio.sleep(0.01)
    await queue.close()

    assert await asyncio.wait_for(claim, SOON) is None
    with pytest.raises(StoreUnavailable, match="closed"):
        await queue.put(Message("acme", "run_1"))
    with pytest.raises(StoreUnavailable, match="closed"):
        await queue.ping()


async def test_finishing_after_close_is_no_error(queue):
    await queue.put(Message("acme", "run_1"))
    message = await queue.claim(wait=LONG)
    await queue.close()

    await queue.extend(message)
    await queue.done(message)
    await queue.retry(message, delay=NOW)
    await queue.close()


async def test_ten_workers_share_a_thousand_runs_without_loss_or_doubling(queue):
    for run in range(1_000):
        await queue.put(Message(f"org_{run % 7}", f"run_{run}"))
    seen: list[str] = []

    async def work() -> None:
        while (message := await queue.claim(wait=SHORT)) is not None:
            seen.append(message.run_id)
            await queue.done(message)

    await asyncio.gather(*(work() for _ in range(10)))

    assert sorted(seen) == sorted(f"run_{run}" for run in range(1_000))
