"""Serve a Google API from the message classes of its own client library: no .proto files, no compiler.

A generated transport makes each stub from a path and two codecs. Given a channel that only writes them down, it hands
over the whole table of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import proto
from google.auth.credentials import AnonymousCredentials

Codec = Callable[[Any], Any]


@dataclass(frozen=True)
class Method:
    """One RPC: its kind, such as `unary_unary`, and the codecs of the server's side."""

    kind: str
    read_request: Codec
    write_response: Codec


class _Recorder:
    """A channel that remembers the stubs asked of it."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}
        self._unary_unary_interceptors: list[object] = []

    def __getattr__(self, kind: str) -> Callable[..., object]:
        if kind not in {"unary_unary", "unary_stream", "stream_unary", "stream_stream"}:
            raise AttributeError(kind)

        def record(path: str, *, request_serializer: Any, response_deserializer: Any, **_: object) -> object:
            request = getattr(request_serializer, "__self__", None)
            if isinstance(request, proto.message.MessageMeta):  # the rest are mix-ins: locations, IAM, operations
                self.methods[path] = Method(kind, request.deserialize, _writer(response_deserializer))
            return lambda *_arguments, **_keywords: None

        return record


def read_methods(transport: type) -> dict[str, Method]:
    """Path to method, for every RPC of an asynchronous gRPC transport."""
    recorder = _Recorder()
    transport(channel=lambda *_arguments, **_keywords: recorder, credentials=AnonymousCredentials())
    return recorder.methods


@contextmanager
def serving(*services: tuple[type, object], port: int = 0, workers: int = 16) -> Iterator[str]:
    """Serve fakes on one insecure port and give its address, `127.0.0.1:port`.

    A service is an asynchronous gRPC transport class and an object whose methods are named as the RPCs and take
    (request, context). What the object lacks is answered with UNIMPLEMENTED. A client reaches it through a transport
    with `channel=grpc.insecure_channel(address)`, or `grpc.aio.insecure_channel(address)`.
    """
    server = grpc.server(ThreadPoolExecutor(workers, thread_name_prefix="fake-google"))
    for transport, fake in services:
        _add(server, transport, fake)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        server.stop(grace=None).wait()


def _add(server: grpc.Server, transport: type, fake: object) -> None:
    handlers: dict[str, dict[str, object]] = {}
    for path, method in read_methods(transport).items():
        _, service, name = path.split("/")
        answer = getattr(fake, name, None)
        if answer is not None:
            make = getattr(grpc, f"{method.kind}_rpc_method_handler")
            handler = make(answer, request_deserializer=method.read_request, response_serializer=method.write_response)
            handlers.setdefault(service, {})[name] = handler
    if not handlers:
        raise TypeError(f"{type(fake).__name__} answers nothing that {transport.__name__} asks")
    for service, by_name in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, by_name),))


def _writer(response_deserializer: Any) -> Codec:
    response = getattr(response_deserializer, "__self__", None)
    if isinstance(response, proto.message.MessageMeta):
        return response.serialize
    return lambda message: message.SerializeToString()
