"""Firestore: documents, preconditions, optimistic transactions, and queries over fields.

A transaction remembers what each document that it read looked like, absent ones too; a commit that finds another state
is ABORTED, as the service does. Time stands where the clock stands, a microsecond further with each answer.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.cloud.firestore_v1.services.firestore.transports.grpc_asyncio import FirestoreGrpcAsyncIOTransport
from google.cloud.firestore_v1.types import document, firestore, write
from google.protobuf import empty_pb2

from google_fakes.kit import serving

Document = document.Document
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "EQUAL": lambda held, given: held == given,
    "LESS_THAN": lambda held, given: held < given,
    "LESS_THAN_OR_EQUAL": lambda held, given: held <= given,
    "GREATER_THAN": lambda held, given: held > given,
    "GREATER_THAN_OR_EQUAL": lambda held, given: held >= given,
}


class FakeFirestore:
    """`refuse_next` makes an RPC fail; `lose_reply` lets a commit land and its answer get lost."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.documents: dict[str, Document] = {}
        self.calls: Counter[str] = Counter()
        self._refusals: dict[str, list[tuple[grpc.StatusCode, str]]] = {}
        self._lost_replies = 0
        self._transactions: dict[bytes, dict[str, datetime | None]] = {}
        self._ticks = 0
        self._lock = threading.RLock()

    def refuse_next(self, rpc: str, status: grpc.StatusCode, text: str = "refused", times: int = 1) -> None:
        self._refusals.setdefault(rpc, []).extend([(status, text)] * times)

    def lose_reply(self, times: int = 1) -> None:
        self._lost_replies += times

    def BeginTransaction(self, _request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the RPC's name)
        self._meet("BeginTransaction", context)
        transaction = uuid.uuid4().bytes
        self._transactions[transaction] = {}
        return firestore.BeginTransactionResponse(transaction=transaction)

    def Rollback(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the RPC's name)
        self._meet("Rollback", context)
        self._transactions.pop(request.transaction, None)
        return empty_pb2.Empty()

    def BatchGetDocuments(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802 (same)
        self._meet("BatchGetDocuments", context)
        for name in request.documents:
            with self._lock:
                held, at = self.documents.get(name), self._tick()
                if request.transaction:
                    seen = self._transaction(request.transaction, context)
                    seen.setdefault(name, held.update_time if held else None)
            answer = {"found": held} if held else {"missing": name}
            yield firestore.BatchGetDocumentsResponse(**answer, read_time=at)

    def Commit(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the RPC's name)
        self._meet("Commit", context)
        with self._lock:
            if request.transaction:
                self._check_reads(request.transaction, context)
            for each in request.writes:
                self._check_condition(each, context)
            at = self._tick()
            results = [self._write(each, at) for each in request.writes]
            if self._lost_replies:
                self._lost_replies -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        return firestore.CommitResponse(write_results=results, commit_time=at)

    def RunQuery(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802 (the RPC's name)
        self._meet("RunQuery", context)
        query = request.structured_query
        with self._lock:
            found, at = self._find(f"{request.parent}/{query.from_[0].collection_id}/", query), self._tick()
        for each in found:
            yield firestore.RunQueryResponse(document=each, read_time=at)
        if not found:
            yield firestore.RunQueryResponse(read_time=at)

    def _meet(self, rpc: str, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.calls[rpc] += 1
            refusals = self._refusals.get(rpc)
            refusal = refusals.pop(0) if refusals else None
        if refusal:
            context.abort(*refusal)

    def _tick(self) -> datetime:
        self._ticks += 1
        return self.now() + timedelta(microseconds=self._ticks)

    def _transaction(self, transaction: bytes, context: grpc.ServicerContext) -> dict[str, datetime | None]:
        if transaction not in self._transactions:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "The referenced transaction has expired or is no longer valid."
            )
        return self._transactions[transaction]

    def _check_reads(self, transaction: bytes, context: grpc.ServicerContext) -> None:
        seen = self._transaction(transaction, context)
        del self._transactions[transaction]
        for name, update_time in seen.items():
            held = self.documents.get(name)
            if (held.update_time if held else None) != update_time:
                context.abort(grpc.StatusCode.ABORTED, "Too much contention on these documents. Please try again.")

    def _check_condition(self, each: Any, context: grpc.ServicerContext) -> None:
        name, condition = each.delete or each.update.name, each.current_document
        held = self.documents.get(name)
        if "exists" in condition and condition.exists != (held is not None):
            status = grpc.StatusCode.ALREADY_EXISTS if held else grpc.StatusCode.NOT_FOUND
            context.abort(status, f"precondition on {name}")
        if "update_time" in condition and (held is None or held.update_time != condition.update_time):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not the required base version")

    def _write(self, each: Any, at: datetime) -> Any:
        if each.delete:
            self.documents.pop(each.delete, None)
            return write.WriteResult()
        if each.update_mask.field_paths or each.update_transforms:
            raise ValueError("this fake replaces whole documents")
        held = self.documents.get(each.update.name)
        if held is not None and held.fields == each.update.fields:
            return write.WriteResult(update_time=held.update_time)  # nothing changed, so neither does its time
        made = Document(each.update)
        made.create_time, made.update_time = held.create_time if held else at, at
        self.documents[each.update.name] = made
        return write.WriteResult(update_time=at)

    def _find(self, parent: str, query: Any) -> list[Document]:
        filters = [each.field_filter for each in query.where.composite_filter.filters] or [query.where.field_filter]
        matching = [
            each for name, each in self.documents.items() if name.startswith(parent) and _matches(each, filters)
        ]
        order = query.order_by[0].field.field_path
        found = sorted(matching, key=lambda each: _value(each.fields[order]))
        return found[: query.limit] if query.limit else found


@contextmanager
def serving_firestore(fake: FakeFirestore, port: int = 0) -> Iterator[str]:
    """Its address, for FIRESTORE_EMULATOR_HOST."""
    with serving((FirestoreGrpcAsyncIOTransport, fake), port=port) as address:
        yield address


def _matches(each: Document, filters: list[Any]) -> bool:
    return all(
        one.field.field_path in each.fields
        and _COMPARE[one.op.name](_value(each.fields[one.field.field_path]), _value(one.value))
        for one in filters
    )


def _value(field: Any) -> Any:
    message = document.Value.pb(field)
    return getattr(message, message.WhichOneof("value_type"))
