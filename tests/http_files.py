"""A web server on this machine that hands out files as those of weight files do, and fails in the ways they fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Files:
    """What the server has, by path ("/a.pth"), and what it has been asked for."""

    address: str
    contents: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """How many bytes to send before hanging up, for each of the next answers."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request so far."""

    def url(self, path: str) -> str:
        """The address of a file."""
        return self.address + path


@contextmanager
def serving(**contents: bytes) -> Iterator[Files]:
    """A server that runs meanwhile, with these files to begin with (weights_pth=… is /weights.pth)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files = Files(f"http://127.0.0.1:{server.server_port}")
    server.files.contents = {"/" + ".".join(name.rsplit("_", 1)): content for name, content in contents.items()}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        files: Files = self.server.files
        # A proxy is asked for a whole address, of which the path is enough here.
        path, wanted = urlsplit(self.path).path, self.headers.get("Range")
        files.asked.append((self.path, wanted))
        content = files.contents.get(path)
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and files.ranges else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + files.cuts.pop(0) if files.cuts else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""
