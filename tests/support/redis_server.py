"""A Redis of the tests' own: started with a folder of its own, killed and started again at will, gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from served import free_port

# Letting time pass: every moment that the store keeps moves into the past. ARGV: prefix, microseconds.
_AGE = """
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' and redis.call('HEXISTS', key, 'until') == 1 then
    redis.call('HSET', key, 'until', redis.call('HGET', key, 'until') - ARGV[2])
  elseif kind == 'zset' and string.sub(key, -4) == ':due' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -ARGV[2], member)
    end
  end
end
"""


class LocalRedis:
    """One redis-server process. Every write is in its file before it is answered, so that SIGKILL takes none back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.place}/0"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> LocalRedis:
        program = shutil.which("redis-server")
        if program is None:
            missing = "redis-server is not installed: apt-get install redis-server"
            pytest.fail(missing, pytrace=False) if os.environ.get("CI") else pytest.skip(missing)
        options = f"--port {self._port} --bind 127.0.0.1 --dir {self._folder} --appendonly yes --appendfsync everysec"
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([program, *options.split(), "--save", ""], stdout=log, stderr=log)
        self._wait()
        return self

    def kill(self) -> None:
        """SIGKILL, as the machine does when memory ends."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def restart(self) -> None:
        """Kill it and start it again, while the event loop goes on."""
        self.kill()
        await asyncio.to_thread(self.start)

    def ensure_running(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.start()

    def age(self, prefix: str, seconds: float) -> None:
        """Move the moments that a store keeps into the past."""
        with redis.Redis.from_url(self.url) as client:
            client.eval(_AGE, 0, prefix, int(seconds * 1_000_000))

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """The process stands still for the block: its port answers, it does not."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def configured(self, **options: str) -> Iterator[None]:
        """These options for the block, and the empty server that it was afterwards."""
        with redis.Redis.from_url(self.url) as client:
            before = {name: client.config_get(name)[name] for name in options}
            for name, value in options.items():
                client.config_set(name, value)
            try:
                yield
            finally:
                for name, value in before.items():
                    client.config_set(name, value)

    @contextlib.contextmanager
    def as_replica(self) -> Iterator[None]:
        """A replica of a primary that is not there."""
        with redis.Redis.from_url(self.url) as client:
            client.replicaof("127.0.0.1", "1")
            try:
                yield
            finally:
                client.replicaof("NO", "ONE")

    def scripts(self) -> int:
        """How many scripts were executed so far."""
        with redis.Redis.from_url(self.url) as client:
            return client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]

    def names(self) -> list[str]:
        with redis.Redis.from_url(self.url) as client:
            return sorted(key.decode() for key in client.scan_iter())

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        with redis.Redis.from_url(self.url) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                with contextlib.suppress(redis.ConnectionError):
                    if client.ping():
                        return
                time.sleep(0.01)
        raise AssertionError(f"redis-server did not start:\n{(self._folder / 'redis.log').read_text()[-2000:]}")


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(folder)
    try:
        yield server.start()
    finally:
        server.kill()
