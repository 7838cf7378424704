"""An S3 server on loopback, as a program of its own: moto's, which can be told to fail, to be slow, and whom to trust.

Arrow calls the store while it holds Python's lock in places, so that a server in the same process could not answer.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

KEY = "a-key-of-tests"
_ORDERS = "/_orders"
_ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>as the test says</Message></Error>"


@dataclass
class Orders:
    """What the server does beside answering.

    Attributes:
        fail_every: of how many requests one is answered with 503, as S3 does to slow a client down; 0 for none.
        fail_part: the number of the part of an upload that always fails, with an error that is not tried again.
        seconds: that an answer to a part of an upload takes.
    """

    fail_every: int = 0
    fail_part: int = 0
    seconds: float = 0


@dataclass
class _Application:
    """Obeys orders, keeps count, and hands on to moto what is left."""

    inner: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
    orders: Orders = field(default_factory=Orders)
    requests: list[str] = field(default_factory=list)
    n_failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if path == _ORDERS:
            return self._ordered(environ, start)
        with self.lock:
            self.requests.append(f"{environ['REQUEST_METHOD']} {path}{'?' if query else ''}{query}")
            is_unlucky = self.orders.fail_every and len(self.requests) % self.orders.fail_every == 0
            self.n_failed += bool(is_unlucky)
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return _refused(start, "403 Forbidden", "AccessDenied")
        if is_unlucky:
            return _refused(start, "503 Slow Down", "SlowDown")
        if "partNumber=" in query:
            time.sleep(self.orders.seconds)
            if f"partNumber={self.orders.fail_part}&" in f"{query}&":
                return _refused(start, "400 Bad Request", "InvalidRequest")
        return self.inner(environ, start)

    def _ordered(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        said = {"requests": self.requests, "failed": self.n_failed}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if body:
            with self.lock:
                self.orders, self.requests, self.n_failed = Orders(**json.loads(body)), [], 0
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(said).encode()]


def _refused(start: StartResponse, status: str, code: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/xml")])
    return [_ERROR.format(code).encode()]


@dataclass(frozen=True)
class Server:
    """The server as tests see it.

    Attributes:
        url: where it listens.
    """

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it and to be let in."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def order(self, **orders: Any) -> None:
        """Have it do something from now on, and count anew."""
        self._ask(json.dumps(orders).encode())

    def said(self) -> dict[str, Any]:
        """Return the requests since the last orders, and how many failed."""
        return self._ask(None)

    def _ask(self, body: bytes | None) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}{_ORDERS}", body, timeout=10) as answer:  # noqa: S310 - ours
            found: dict[str, Any] = json.load(answer)
            return found


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Start the server in a process, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _serve() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = _Application(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve()
