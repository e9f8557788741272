"""The load: wrk and h2load on the other core, and what they saw."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cases import Case
from servers import HERE, LOAD_CORE

CONNECTIONS_PER_TENTH = 80
H2_CONNECTIONS = 8


@dataclass(frozen=True)
class Seen:
    """What the clients saw. `errors` are answers other than 2xx and requests that failed."""

    requests: int
    bytes: int
    seconds: float
    errors: int


def run(case: Case, port: int, paths: Path, seconds: float, connections: int) -> Seen:
    pinned = ["taskset", "-c", str(LOAD_CORE)]
    scheme = "https" if case.is_tls else "http"
    url = f"{scheme}://127.0.0.1:{port}"
    match case.protocol:
        case "h1" | "h1s" | "connect":
            command = ["wrk", "-t1", f"-c{connections}", f"-d{whole(seconds)}s", "--timeout", "10s"]
            command += ["-s", str(HERE / "paths.lua"), url, "--", str(paths)]
            if case.protocol == "connect":
                command.append("close")
            return wrk(pinned + command)
        case "h2":
            command = ["h2load", "-t1", f"-c{H2_CONNECTIONS}", f"-m{connections // H2_CONNECTIONS}", f"-D{int(seconds * 1000)}ms"]
            return h2load(pinned + command, url, paths, "h2")
        case "connect-tls":
            # At a fixed rate, each connection one request and no session resumed: wrk would resume its sessions.
            total = str(int(CONNECTIONS_PER_TENTH * 10 * seconds))
            command = ["h2load", "-t1", "--h1", "-n", total, "-c", total]
            command += ["-r", str(CONNECTIONS_PER_TENTH), "--rate-period", "100ms"]
            return h2load(pinned + command, url, paths, "http/1.1")
    raise ValueError(case.protocol)


def whole(seconds: float) -> int:
    """wrk takes whole seconds."""
    return max(1, round(seconds))


def wrk(command: list[str]) -> Seen:
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^result (\d+) (\d+) (\d+) (\d+) (\d+)$", said, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk said nothing of use:\n{said}")
    requests, count, micros, status, failed = (int(one) for one in found.groups())
    return Seen(requests, count, micros / 1e6, status + failed)


def h2load(command: list[str], url: str, paths: Path, protocol: str) -> Seen:
    urls = paths.with_suffix(".urls")
    urls.write_text("".join(f"{url}{path}\n" for path in paths.read_text().splitlines()))
    said = subprocess.run([*command, "-i", str(urls)], check=True, capture_output=True, text=True).stdout
    for expected in ("TLS Protocol: TLSv1.3", f"Application protocol: {protocol}"):
        if expected not in said:
            raise SystemExit(f"h2load did not say {expected!r}:\n{said}")
    finished = re.search(r"finished in ([\d.]+)(ms|s|us)", said)
    done = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    status = re.search(r"status codes: (\d+) 2xx", said)
    traffic = re.search(r"traffic: .*\((\d+)\) data", said)
    if not (finished and done and status and traffic):
        raise SystemExit(f"h2load said nothing of use:\n{said}")
    seconds = float(finished[1]) * {"s": 1, "ms": 1e-3, "us": 1e-6}[finished[2]]
    finished_well = min(int(done[2]), int(status[1]))
    errors = int(done[1]) - finished_well + int(done[5])
    return Seen(finished_well, int(traffic[1]), seconds, errors)
