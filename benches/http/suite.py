"""Runs the edge and nginx in turn under one load, and prints what each request cost them."""

import argparse
import hashlib
import http.client
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import load
import material
from cases import CASES, Case, chosen
from servers import (
    HERE,
    SERVER_CORE,
    LOAD_CORE,
    Server,
    await_listening,
    free_ports,
    start_edge,
    start_nginx,
)

EDGE_PORTS = ["path", "query", "path_tls", "query_tls", "admin"]
HEADERS_BYTES_MAX = 1_500


@dataclass
class Contender:
    """One server under test, with the paths that its clients ask for."""

    server: Server
    is_edge: bool
    sessions: dict[str, list[str]] = field(default_factory=dict)

    def port(self, case: Case) -> int:
        if self.is_edge:
            return self.server.ports[f"{case.carrier}_tls" if case.is_tls else case.carrier]
        return self.server.ports["tls" if case.is_tls else "plain"]

    def paths(self, case: Case, count: int) -> list[str]:
        if self.is_edge:
            return [material.edge_path(case, session) for session in self.sessions[case.carrier]]
        return [material.link_path(case, number) for number in range(count)]


@dataclass
class Reading:
    """One round of one server: microseconds of CPU for a request (and those of them in user space), requests a second,
    seconds of CPU for a gigabyte."""

    cpu_micros: float
    user_micros: float
    rate: float
    cpu_seconds_per_gb: float
    errors: int


def main() -> None:
    options = arguments()
    if options.list:
        for case in CASES:
            print(f"{case.name:16} {case.what}  (nginx: {case.note})")
        return
    cases = chosen(options.cases)
    folder = Path(tempfile.mkdtemp(prefix="sluicegate-bench-"))
    running: list[Server] = []
    try:
        objects = material.make_objects(folder / "origin")
        contenders = start_all(options, folder, running)
        rows = [measure(case, contenders, objects, options, folder) for case in cases]
    finally:
        for server in running:
            server.stop()
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    table = markdown(rows, [one.server.name for one in contenders])
    print(f"{options.rounds} rounds of {options.seconds:g} s; load average {os.getloadavg()[0]:.2f}\n\n{table}")
    if options.out:
        options.out.write_text(table + "\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if any(row["errors"] for row in rows):
        sys.exit("some answers were wrong: see the column of errors")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/http/run", description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases, or their beginnings (a, b, c-1800, e); all when none is given")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--edge", type=Path, required=True, help="the program; `run` builds and gives the release build")
    parser.add_argument("--against", type=Path, help="another build of the edge to stand in nginx's place: before and after")
    parser.add_argument("--checks", action="store_true", help="the edge with the checks of checks.toml, beside itself without them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round, for each server")
    parser.add_argument("--connections", type=int, default=64, help="HTTP/1.1 connections, or HTTP/2 streams in all")
    parser.add_argument("--sessions", type=int, default=1000, help="distinct viewers")
    parser.add_argument("--out", type=Path, help="a file for the table")
    parser.add_argument("--json", type=Path, help="a file for all readings")
    parser.add_argument("--keep", action="store_true", help="leave the folder with configurations and logs")
    return parser.parse_args()


def start_all(options: argparse.Namespace, folder: Path, running: list[Server]) -> list[Contender]:
    ports = free_ports(["origin", "peer", "peer_tls"])
    make_certificate(options.edge, folder)
    values: dict[str, object] = {
        "FOLDER": folder,
        "KEY": material.KEY,
        "LINK_SECRET": material.LINK_SECRET,
        **{name.upper(): port for name, port in ports.items()},
    }
    origin = start_nginx("origin", LOAD_CORE, values)
    running.append(origin)
    origin.ports = {"plain": ports["origin"]}
    await_listening(origin, folder)
    checks = {"CHECKS": (HERE / "checks.toml").read_text() if options.checks else ""}
    contenders = [edge(options.edge, "checking" if options.checks else "edge", {**values, **checks}, options, folder, running)]
    values["CHECKS"] = ""
    if options.checks:
        contenders.append(edge(options.edge, "unchecking", values, options, folder, running))
    elif options.against:
        contenders.append(edge(options.against, "against", values, options, folder, running))
    else:
        peer = start_nginx("peer", SERVER_CORE, values)
        peer.name = "nginx"
        running.append(peer)
        peer.ports = {"plain": ports["peer"], "tls": ports["peer_tls"]}
        await_listening(peer, folder)
        contenders.append(Contender(peer, is_edge=False))
    return contenders


def edge(
    binary: Path, name: str, values: dict[str, object], options: argparse.Namespace, folder: Path, running: list[Server]
) -> Contender:
    ports = free_ports(EDGE_PORTS)
    server = start_edge(name, binary, {**values, **{port.upper(): number for port, number in ports.items()}})
    running.append(server)
    server.ports = ports
    await_listening(server, folder)
    plain = {carrier: ports[carrier] for carrier in ("path", "query")}
    return Contender(server, True, material.mint_sessions(binary, plain, options.sessions))


def make_certificate(binary: Path, folder: Path) -> None:
    subprocess.run([binary, "cert", "--out", folder / "certs"], check=True, capture_output=True)


def measure(
    case: Case, contenders: list[Contender], objects: dict[str, bytes], options: argparse.Namespace, folder: Path
) -> dict:
    """All rounds of one case, the servers in turn."""
    print(f"{case.name:16} load {os.getloadavg()[0]:.2f} ", end="", file=sys.stderr, flush=True)
    readings: dict[str, list[Reading]] = {one.server.name: [] for one in contenders}
    lengths, files, is_hit = {}, {}, {}
    for one in contenders:
        paths = one.paths(case, options.sessions)
        lengths[one.server.name], is_hit[one.server.name] = check(case, one, paths, objects[case.file])
        files[one.server.name] = folder / f"{one.server.name}-{case.name}.paths"
        files[one.server.name].write_text("\n".join(paths) + "\n")
    for number in range(options.rounds):
        for one in contenders if number % 2 == 0 else reversed(contenders):
            name = one.server.name
            readings[name].append(round_of(case, one, files[name], lengths[name], options))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    row = {"case": case.name, "what": case.what, "note": case.note, "counts_bytes": case.counts_bytes, "errors": 0, "servers": {}}
    for name, found in readings.items():
        row["errors"] += sum(reading.errors for reading in found)
        row["servers"][name] = {
            "cpu_micros": statistics.median(reading.cpu_micros for reading in found),
            "user_micros": statistics.median(reading.user_micros for reading in found),
            "rate": statistics.median(reading.rate for reading in found),
            "cpu_seconds_per_gb": statistics.median(reading.cpu_seconds_per_gb for reading in found),
            "all_cpu_micros": [round(reading.cpu_micros, 2) for reading in found],
        }
    if case.peer == "cached" and not is_hit[contenders[0].server.name]:
        row["note"] += "; **the edge asks the origin**"
    return row


def check(case: Case, one: Contender, paths: list[str], source: bytes) -> tuple[int, bool]:
    """Whether it answers what it should and refuses a forged link, before it is loaded; gives the body's length, and
    whether an edge took it from its cache."""
    connection = connect(case, one)
    lengths, hit = set(), False
    for path in [paths[0], paths[-1], *paths[:: max(1, len(paths) // 20)]]:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        shown = material.without_tokens(body) if case.file.endswith(".m3u8") else body
        if answer.status != 200 or digest(shown) != digest(source):
            raise SystemExit(f"{case.name}: {one.server.name} answers {answer.status} with a wrong body of {len(body)} to {path}")
        personal = len(body) != len(source)
        # In the path the references of a playlist that carries the token inherit it.
        expects = case.file.endswith(".m3u8") and (case.peer == "sub" or (one.is_edge and case.carrier == "query"))
        if personal != expects:
            raise SystemExit(f"{case.name}: {one.server.name} has {'' if personal else 'not '}personalised {path}")
        lengths.add(len(body))
        hit = "hit" in answer.headers.get("Cache-Status", "")
    forged = paths[0].replace("hmac=", "hmac=0") if one.is_edge else paths[0].replace("md5=", "md5=0")
    connection.request("GET", forged)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 403 or len(lengths) != 1:
        raise SystemExit(f"{case.name}: {one.server.name} answers {answer.status} to a forged link; lengths {lengths}")
    connection.close()
    return lengths.pop(), hit


def connect(case: Case, one: Contender) -> http.client.HTTPConnection:
    if not case.is_tls:
        return http.client.HTTPConnection("127.0.0.1", one.port(case), timeout=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", one.port(case), timeout=10, context=context)
    connection.connect()
    if connection.sock.version() != "TLSv1.3":
        raise SystemExit(f"{one.server.name} speaks {connection.sock.version()}")
    return connection


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def round_of(case: Case, one: Contender, paths: Path, length: int, options: argparse.Namespace) -> Reading:
    before = one.server.cpu_seconds()
    seen = load.run(case, one.port(case), paths, options.seconds, options.connections)
    user, system = (after - then for after, then in zip(one.server.cpu_seconds(), before, strict=True))
    if seen.requests == 0:
        raise SystemExit(f"{case.name}: {one.server.name} answered nothing")
    # Every body has the one right length: too few bytes are too short ones, too many are more than heads and framing.
    least = seen.requests * length
    most = (seen.requests + options.connections) * (length * 1.01 + HEADERS_BYTES_MAX)
    wrong = 0 if least <= seen.bytes <= most else seen.requests
    return Reading(
        cpu_micros=(user + system) / seen.requests * 1e6,
        user_micros=user / seen.requests * 1e6,
        rate=seen.requests / seen.seconds,
        cpu_seconds_per_gb=(user + system) / (least / 1e9),
        errors=seen.errors + wrong,
    )


def markdown(rows: list[dict], names: list[str]) -> str:
    ours, theirs = names
    head = ["case", "", f"{ours} µs", f"{theirs} µs", "ratio", f"{ours} /s", f"{theirs} /s", f"{ours} s/GB", f"{theirs} s/GB", "errors", "nginx does"]
    if "nginx" not in names:
        head[-1] = "case of nginx's"
    cells = [head]
    for row in rows:
        one, other = row["servers"][ours], row["servers"][theirs]
        by_bytes = [f"{each['cpu_seconds_per_gb']:.3f}" if row["counts_bytes"] else "" for each in (one, other)]
        cells.append(
            [
                row["case"],
                row["what"],
                micros(one["cpu_micros"]),
                micros(other["cpu_micros"]),
                f"**{one['cpu_micros'] / other['cpu_micros']:.2f}**" if other["cpu_micros"] else "",
                f"{one['rate']:.0f}",
                f"{other['rate']:.0f}",
                *by_bytes,
                str(row["errors"]),
                row["note"],
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    left = {0, 1, len(head) - 1}
    rule = ["-" * width if column in left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    lines = [
        [cell.ljust(width) if column in left else cell.rjust(width) for column, (cell, width) in enumerate(zip(line, widths))]
        for line in [cells[0], rule, *cells[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def micros(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


if __name__ == "__main__":
    main()
