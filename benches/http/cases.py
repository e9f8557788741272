"""The cases: what is asked, by which protocol, and what nginx does for it."""

from dataclasses import dataclass

KB, MB = 1_000, 1_000_000

SEGMENTS = {"1k": 1 * KB, "100k": 100 * KB, "1m": 1 * MB, "6m": 6 * MB}
PLAYLISTS = {"p100": 100, "p1800": 1800}


@dataclass(frozen=True)
class Case:
    """One line of the table. `peer` names nginx's way: a location of peer.conf."""

    name: str
    what: str
    file: str
    peer: str
    protocol: str = "h1"  # h1 | h1s | h2 (both over TLS 1.3) | connect | connect-tls
    carrier: str = "path"
    note: str = ""

    @property
    def is_tls(self) -> bool:
        return self.protocol in ("h1s", "h2", "connect-tls")

    @property
    def counts_bytes(self) -> bool:
        return self.file.startswith(("seg", "live")) and "1k" not in self.file


CACHED = "proxy_cache, secure_link"
PLAIN = "proxy_pass, secure_link"
SUB = "rewrites with sub_filter, proxy_cache, secure_link"


def _all() -> list[Case]:
    cases = [
        Case(f"a-{size}" if size == "1k" else f"b-{size}", f"cached {size} segment", f"seg{size}.m4s", "cached", note=CACHED)
        for size in SEGMENTS
    ]
    for name, what, file in [
        ("c-multivariant", "multivariant playlist", "master.m3u8"),
        ("c-100", "playlist, 100 segments", "p100.m3u8"),
        ("c-1800", "playlist, 1800 segments", "p1800.m3u8"),
    ]:
        cases.append(Case(name, f"{what}, query", file, "cached", carrier="query", note=f"{CACHED}; rewrites nothing"))
        cases.append(Case(f"{name}-sub", f"{what}, query", file, "sub", carrier="query", note=SUB))
    cases.append(
        Case("c-1800-path", "playlist, 1800 segments, path", "p1800.m3u8", "cached", note=f"{CACHED}; rewrites nothing")
    )
    cases += [
        Case(f"d-{size}", f"uncached {size} segment", f"live{size}.m4s", "pass", note=PLAIN) for size in ("1k", "1m")
    ]
    for protocol, label in [("h1s", "h1"), ("h2", "h2")]:
        for size in ("1k", "1m"):
            cases.append(
                Case(f"e-{size}-{label}", f"cached {size} segment, TLS {label}", f"seg{size}.m4s", "cached", protocol, note=CACHED)
            )
        for size in ("1k", "1m"):
            cases.append(
                Case(f"e-d-{size}-{label}", f"uncached {size} segment, TLS {label}", f"live{size}.m4s", "pass", protocol, note=PLAIN)
            )
        cases.append(
            Case(
                f"e-c-1800-{label}",
                f"playlist, 1800 segments, query, TLS {label}",
                "p1800.m3u8",
                "cached",
                protocol,
                "query",
                f"{CACHED}; rewrites nothing",
            )
        )
    cases.append(Case("g-tcp", "a connection for each request, TCP", "p100.m3u8", "cached", "connect", note=CACHED))
    cases.append(
        Case("g-tls", "a connection for each request, full TLS 1.3", "p100.m3u8", "cached", "connect-tls", note=CACHED)
    )
    return cases


CASES = _all()


def chosen(prefixes: list[str]) -> list[Case]:
    """The cases whose name is one of `prefixes` or begins with one of them and a hyphen; all, when none is given."""
    if not prefixes:
        return CASES
    for prefix in prefixes:
        if not any(fits(case, prefix) for case in CASES):
            raise SystemExit(f"no case {prefix}; there are: {' '.join(case.name for case in CASES)}")
    return [case for case in CASES if any(fits(case, prefix) for prefix in prefixes)]


def fits(case: Case, prefix: str) -> bool:
    return case.name == prefix or case.name.startswith(f"{prefix}-")
