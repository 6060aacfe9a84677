"""Engines that keep the bytes of deleted rows in their files, and how such bytes are made to go."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, runtime_checkable

from convergence.tenancy import DatasetRef
from convergence.warehouse.protocol import Warehouse


@runtime_checkable
class Compactable(Protocol):
    """A warehouse whose files hold what was deleted until they are written anew."""

    async def compact(self, dataset: DatasetRef, /) -> None:
        """Write the dataset anew without what was deleted. Writers wait, and no commit is lost.

        Raises:
            WarehouseBusy: no space for the copy; the old file stays.
        """
        ...

    def erasing(self, dataset: DatasetRef, /) -> AbstractAsyncContextManager[None]:
        """Compact after the block. Where that fails, or the process dies first, it is done when the dataset is opened.

        What the block has deleted is deleted in either case, so a failure is logged and not raised.
        """
        ...


def erasing(warehouse: Warehouse, dataset: DatasetRef) -> AbstractAsyncContextManager[None]:
    """What is deleted or replaced inside leaves no bytes in the dataset's files."""
    return warehouse.erasing(dataset) if isinstance(warehouse, Compactable) else nullcontext()
