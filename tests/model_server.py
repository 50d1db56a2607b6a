"""A real server with a real small model for the tests, and a proxy in front of it that spoils answers as it is told."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

EMBEDDED = Path(__file__).parent.parent / "agents" / "assistants" / "proper" / "embedded" / "embedded"
STARTING = 180
"""Seconds that a server may take to start on a busy machine."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def serve(model: Path = EMBEDDED) -> Iterator[str]:
    """``transformers serve`` with a model on loopback; gives the base URL."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port),
               "--device", "cpu", "--default-seed", "0", str(model)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    try:
        deadline = time.monotonic() + STARTING
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"transformers serve did not start (status {process.poll()})")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


class Proxy(ThreadingHTTPServer):
    """Passes calls on to a server, and spoils those for which a fault is planned.

    Attributes:
        faults: Names of faults for the next calls, in order; ``""`` passes one unspoilt.
        calls: Bodies of all calls.
        passed: Number of calls that the server behind answered.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.faults, self.calls, self.passed = behind, list[str](), list[dict[str, Any]](), 0
        self.headers_seen: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that went away are what is tested."""


@contextlib.contextmanager
def proxy(behind: str) -> Iterator[Proxy]:
    server = Proxy(behind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            fault = self.server.faults.pop(0) if self.server.faults else ""
            self.server.calls.append(json.loads(body))
            self.server.headers_seen.append({name.lower(): value for name, value in self.headers.items()})
        if fault == "429":
            self._send(429, b'{"error": "slow down"}', {"Retry-After": "0.2"})
        elif fault == "500":
            self._send(500, f"boom {self.headers.get('authorization')}".encode())
        elif fault == "401":
            self._send(401, f"no such key: {self.headers.get('authorization')}".encode())
        elif fault == "hang":
            self.server.released.wait(30)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("content-length", "5000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "html":
            self._send(200, b"<html>busy</html>")
        elif fault == "no choices":
            self._send(200, b'{"choices": []}')
        else:
            self._pass_on(body, fault)

    def _pass_on(self, body: bytes, fault: str) -> None:
        asked = urllib.request.Request(f"{self.server.behind}/chat/completions", body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            read = json.loads(answer.read())
        self.server.passed += 1
        choice = read["choices"][0]
        if fault == "empty":
            choice["message"]["content"] = "  "
        elif fault == "null":
            choice["message"]["content"] = None
        elif fault == "length":
            choice["finish_reason"] = "length"
        elif fault.startswith("say "):
            choice["message"]["content"], choice["finish_reason"] = fault.removeprefix("say "), "stop"
        elif fault == "logprobs":
            top = [{"token": t, "logprob": p} for t, p in (("1", -0.2231), (" 0", -1.6094), ("the", -9.0))]
            choice["logprobs"] = {"content": [{"token": "1", "logprob": -0.2231, "top_logprobs": top}]}
        self._send(200, json.dumps(read).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
