from convergence.organizations.epochs import Epochs
from convergence.state.memory import MemoryStateStore


async def test_a_mark_changes_with_every_advance_and_is_seen_by_others() -> None:
    state = MemoryStateStore(None)
    here, there = Epochs(state), Epochs(state)
    before = await there.current("acme")
    await here.advance("acme")
    first = await there.current("acme")
    await here.advance("acme")
    second = await there.current("acme")
    assert before == ""
    assert len({before, first, second}) == 3
    await state.close()


async def test_another_organization_keeps_its_mark() -> None:
    state = MemoryStateStore(None)
    epochs = Epochs(state)
    await epochs.advance("acme")
    assert await epochs.current("globex") == ""
    await state.close()


async def test_a_store_that_started_over_never_repeats_a_mark() -> None:
    marks = set()
    for _ in range(3):
        state = MemoryStateStore(None)
        await Epochs(state).advance("acme")
        marks.add(await Epochs(state).current("acme"))
        await state.close()
    assert len(marks) == 3
