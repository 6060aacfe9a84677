"""BigQuery's jobs as a small server on loopback, driven by the real client, that fails as it is told.

Every request meets the next fault of `faults`, if one is left for its verb; otherwise the job runs and is done at once.
What the emulator cannot do is here as well: a dry run that tells tables and bytes, and the limit on bytes billed.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

PROJECT = "fake-project"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with one request.

    `runs`: the job is made and its effect is there. `status` is the answer, None closes the connection without one.
    `job` is the error of a job that was taken and failed. `state` is what a look at a job shows instead of its own.
    """

    runs: bool = False
    status: int | None = 200
    reason: str = ""
    message: str = ""
    job: bool = False
    state: str | None = None


def lost_reply() -> Fault:
    return Fault(runs=True, status=503, reason="backendError", message="try again")


def cut_reply() -> Fault:
    return Fault(runs=True, status=None)


def reset() -> Fault:
    return Fault(status=None)


def refused(status: int, reason: str, message: str) -> Fault:
    return Fault(status=status, reason=reason, message=message)


def failing(reason: str, message: str, *, runs: bool = False) -> Fault:
    """A job that is taken and fails; with `runs` its effect is there all the same."""
    return Fault(runs=runs, reason=reason, message=message, job=True)


def unseen(job_id: str = "x") -> Fault:
    return Fault(status=404, reason="notFound", message=f"Not found: Job {PROJECT}:US.{job_id}")


def running() -> Fault:
    return Fault(state="RUNNING")


@dataclass
class FakeBigQuery:
    """What the server has seen and what it will do. `effects` are the statements and tables that ran, in order."""

    referenced_tables: tuple[str, ...] = ()
    bytes_processed: int = 0
    statement_type: str = "SELECT"
    views: dict[str, str] = field(default_factory=dict)  # table id to its query
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # table id to what is told of it
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    uploaded: list[int] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    port: int = 0
    _uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, verb: str, *faults: Fault) -> None:
        """The next requests of a verb (insert, get, cancel) meet these faults, one each."""
        self.faults.setdefault(verb, deque()).extend(faults)

    def client(self) -> bigquery.Client:
        options = {"api_endpoint": f"http://127.0.0.1:{self.port}"}
        return bigquery.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options, location="US")

    def verbs(self) -> list[str]:
        return [verb for verb, _job_id in self.requests]

    def ids(self) -> list[str]:
        """The ids of all jobs that were ever taken, in order."""
        return list(self.jobs)

    def insert(self, body: dict[str, Any], answer: Callable[[int | None, Any], None]) -> None:
        job_id = body["jobReference"]["jobId"]
        with self._lock:
            fault = self._next("insert", job_id)
            if body["configuration"].get("dryRun"):
                return answer(*self._refusal(fault) or (200, self._job(body, None)))
            if not (fault.runs or fault.job or fault.status == 200):
                return answer(*self._refusal(fault))
            if job_id in self.jobs:
                return answer(409, _error(409, "duplicate", f"Already Exists: Job {PROJECT}:US.{job_id}"))
            self.jobs[job_id] = self._run(body, fault)
            return answer(*self._refusal(fault) or (200, self.jobs[job_id]))

    def get(self, job_id: str, answer: Callable[[int | None, Any], None]) -> None:
        with self._lock:
            fault = self._next("get", job_id)
            job = self.jobs.get(job_id)
            if refusal := self._refusal(fault):
                return answer(*refusal)
            if job is None:
                return answer(404, _error(404, "notFound", f"Not found: Job {PROJECT}:US.{job_id}"))
            return answer(200, {**job, "status": {"state": fault.state}} if fault.state else job)

    def cancel(self, job_id: str, answer: Callable[[int | None, Any], None]) -> None:
        with self._lock:
            self._next("cancel", job_id)
            answer(200, {"job": self.jobs[job_id]})

    def start_upload(self, body: dict[str, Any]) -> str:
        job_id = str(body["jobReference"]["jobId"])
        self._uploads[job_id] = body
        return f"http://127.0.0.1:{self.port}/upload?upload_id={job_id}"

    def end_upload(self, upload_id: str, size: int, answer: Callable[[int | None, Any], None]) -> None:
        self.uploaded.append(size)
        self.insert(self._uploads[upload_id], answer)

    def _next(self, verb: str, job_id: str) -> Fault:
        self.requests.append((verb, job_id))
        waiting = self.faults.get(verb)
        return waiting.popleft() if waiting else Fault()

    def _run(self, body: dict[str, Any], fault: Fault) -> dict[str, Any]:
        failure = {"reason": fault.reason, "message": fault.message} if fault.job else self._over_limit(body)
        if fault.runs or failure is None:
            self.effects.append(_effect(body["configuration"]))
        return self._job(body, failure, fault.state or "DONE")

    def _over_limit(self, body: dict[str, Any]) -> dict[str, str] | None:
        limit = body["configuration"].get("query", {}).get("maximumBytesBilled")
        if limit is None or self.bytes_processed <= int(limit):
            return None
        message = f"Query exceeded limit for bytes billed: {limit}. {self.bytes_processed} or higher required."
        return {"reason": "bytesBilledLimitExceeded", "message": message}

    def _job(self, body: dict[str, Any], failure: dict[str, str] | None, state: str = "DONE") -> dict[str, Any]:
        status = {"state": state} | ({"errorResult": failure, "errors": [failure]} if failure else {})
        tables = [
            dict(zip(("projectId", "datasetId", "tableId"), table.split("."), strict=True))
            for table in self.referenced_tables
        ]
        figures = {"totalBytesProcessed": str(self.bytes_processed), "statementType": self.statement_type}
        return {
            "kind": "bigquery#job",
            "jobReference": {**body["jobReference"], "projectId": PROJECT, "location": "US"},
            "configuration": body["configuration"],
            "status": status,
            "statistics": {
                "totalBytesProcessed": str(self.bytes_processed),
                "query": {**figures, "referencedTables": tables},
            },
        }

    @staticmethod
    def _refusal(fault: Fault) -> tuple[int | None, Any] | None:
        if fault.status is None:
            return None, None
        return None if fault.status == 200 else (fault.status, _error(fault.status, fault.reason, fault.message))


def _effect(configuration: dict[str, Any]) -> str:
    if "query" in configuration:
        return str(configuration["query"]["query"])
    return str(configuration["load"]["destinationTable"]["tableId"])


def _error(status: int, reason: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeBigQuery

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if "/queries/" in path:
            return self._answer(200, {"jobComplete": True, "schema": {"fields": []}, "totalRows": "0"})
        if "/tables/" in path and (view := self.fake.views.get(path.rsplit("/", 1)[1])):
            *_, dataset, _tables, table = path.split("/")
            reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": table}
            return self._answer(200, {"tableReference": reference, "type": "VIEW", "view": {"query": view}})
        if "/tables/" in path and (table := self.fake.tables.get(path.rsplit("/", 1)[1])):
            return self._answer(200, table)
        return self.fake.get(path.rsplit("/", 1)[1], self._answer)

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        kind = parse_qs(url.query).get("uploadType", [""])[0]
        if url.path.endswith("/cancel"):
            self.fake.cancel(url.path.split("/")[-2], self._answer)
        elif kind == "resumable":
            self._answer(200, {}, location=self.fake.start_upload(json.loads(raw)))
        else:
            self.fake.insert(self._multipart(raw) if kind == "multipart" else json.loads(raw), self._answer)

    def do_PUT(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        upload_id = parse_qs(urlsplit(self.path).query)["upload_id"][0]
        self.fake.end_upload(upload_id, len(raw), self._answer)

    def log_message(self, *args: Any) -> None:
        """Nothing: what was asked is in FakeBigQuery.requests."""

    def _multipart(self, raw: bytes) -> dict[str, Any]:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.default).parsebytes(head + raw)
        body, file = message.iter_parts()
        self.fake.uploaded.append(len(file.get_payload(decode=True)))
        return json.loads(body.get_payload(decode=True))

    def _answer(self, status: int | None, body: Any, *, location: str | None = None) -> None:
        self.close_connection = status is None
        if status is None:
            return
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def faking(**options: Any) -> Iterator[FakeBigQuery]:
    fake = FakeBigQuery(**options)
    handler = type("Handler", (_Handler,), {"fake": fake})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        fake.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield fake
        server.shutdown()
        thread.join()
