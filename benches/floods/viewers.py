"""Ordinary viewers: `viewers.py PLAIN TLS SECONDS WANTED`, 500 requests a second over 20 connections, half of them TLS.

The times of requests are fixed beforehand. Where the answer before is still awaited, the time of a request counts from when it
was due, so that an edge that lets one wait has the next ones wait, too. Prints the latencies in milliseconds, one a line, and `error` for an answer that is none.
"""

import heapq
import selectors
import socket
import ssl
import sys
import time
from pathlib import Path

CONNECTIONS, PER_SECOND, PATIENCE = 20, 500, 10.0


class Viewer:
    def __init__(self, number: int, plain: int, tls: int) -> None:
        self.is_tls, self.port = number % 2 == 1, tls if number % 2 else plain
        self.waiting: list[tuple[float, bytes]] = []
        self.asked: float | None = None
        self.client: socket.socket | None = None
        self.buffer = b""

    def connect(self) -> None:
        client = socket.create_connection(("::1", self.port), PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.is_tls:
            context = ssl._create_unverified_context()
            client = context.wrap_socket(client)
        client.setblocking(False)
        self.client, self.buffer = client, b""

    def ask(self, selector: selectors.BaseSelector) -> None:
        if self.asked is not None or not self.waiting:
            return
        if self.client is None:
            self.connect()
            selector.register(self.client, selectors.EVENT_READ, self)
        self.asked, request = self.waiting.pop(0)
        self.client.send(request)

    def take(self) -> bool:
        """Whether the answer is there; what is not 200 raises."""
        while True:
            try:
                piece = self.client.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            if not piece:
                raise OSError("closed")
            self.buffer += piece
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(head.decode(errors="replace"))
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return len(body) >= int(length.split(b":")[1])


def main() -> None:
    plain, tls, seconds = map(int, sys.argv[1:4])
    wanted = [f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in Path(sys.argv[4]).read_text().split()]
    viewers = [Viewer(number, plain, tls) for number in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for viewer in viewers:
        viewer.connect()
        selector.register(viewer.client, selectors.EVENT_READ, viewer)
    begin = time.monotonic() + 0.2
    plan = [(begin + number / PER_SECOND, number) for number in range(seconds * PER_SECOND)]
    heapq.heapify(plan)
    results: list[str] = []

    def failed(viewer: Viewer) -> None:
        results.append("error")
        if viewer.client is not None:
            selector.unregister(viewer.client)
            viewer.client.close()
        viewer.client, viewer.asked = None, None

    def ask(viewer: Viewer) -> None:
        try:
            viewer.ask(selector)
        except OSError:
            failed(viewer)

    while len(results) < seconds * PER_SECOND and time.monotonic() < begin + seconds + PATIENCE:
        now = time.monotonic()
        while plan and plan[0][0] <= now:
            _, number = heapq.heappop(plan)
            viewer = viewers[number % CONNECTIONS]
            # What this program is late is not the edge's.
            viewer.waiting.append((time.monotonic(), wanted[number % len(wanted)]))
            ask(viewer)
        pause = plan[0][0] - time.monotonic() if plan else 0.1
        for key, _ in selector.select(max(0.0, pause)):
            viewer = key.data
            if viewer.asked is None and viewer.client is not None:
                # Closed between two requests, after the last that a connection may have, say.
                selector.unregister(viewer.client)
                viewer.client.close()
                viewer.client = None
                continue
            try:
                if viewer.take():
                    results.append(f"{(time.monotonic() - viewer.asked) * 1000:.3f}")
                    viewer.asked, viewer.buffer = None, b""
                    ask(viewer)
            except OSError:
                failed(viewer)
    results += ["error"] * (seconds * PER_SECOND - len(results))
    print("\n".join(results))


main()
