"""Serve the built book as a good static host would.

``python serve.py FOLDER`` picks a free port from 8000 on and prints the address. A copy stands in
the built site and serves the folder that it stands in.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import sys
import webbrowser
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar


class Handler(SimpleHTTPRequestHandler):
    """Files with the right types; those named by their content may be kept by the browser."""

    protocol_version = "HTTP/1.1"  # keeps connections open
    policy = ""
    extensions_map: ClassVar = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".svg": "image/svg+xml",
    }

    def send_response(self, code: int, message: str | None = None) -> None:
        """Note the code: what is not there must not be kept."""
        self.code = code
        super().send_response(code, message)

    def end_headers(self) -> None:
        """Add what a host should say about every file."""
        named_by_content = any(f"/_static/{k}-" in self.path for k in ("pyodide", "labs"))
        keep = "public, max-age=31536000, immutable" if named_by_content else "no-cache"
        self.send_header("Cache-Control", keep if self.code == HTTPStatus.OK else "no-store")
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing about single requests."""


class Server(ThreadingHTTPServer):
    """A server that says nothing of readers who leave before a file is sent."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Report what is not the reader's doing."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def make_server(folder: Path, port: int = 0, policy: str = "") -> Server:
    """Return a server of ``folder`` on this machine only; port 0 takes a free one."""
    handler = type("BookHandler", (Handler,), {"policy": policy})
    return Server(("127.0.0.1", port), partial(handler, directory=str(folder)))


@contextlib.contextmanager
def serving(folder: Path, policy: str = "") -> Iterator[str]:
    """Serve ``folder`` while the block runs; gives the address."""
    server = make_server(folder, policy=policy)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve the built book on this machine.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--open", action="store_true", help="open the browser")
    parser.add_argument("--port", type=int, default=8000)
    chosen = parser.parse_args()
    for port in range(chosen.port, chosen.port + 50):
        try:
            server = make_server(chosen.folder, port)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    else:
        raise SystemExit(f"No free port from {chosen.port} to {chosen.port + 49}.")
    address = f"http://127.0.0.1:{server.server_port}/"
    print(f"The book is at {address}   (Ctrl-C stops)", flush=True)
    if chosen.open:
        webbrowser.open(f"{address}index.html")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
