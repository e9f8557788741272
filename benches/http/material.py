"""What is served and what is asked for: objects, sessions of ours, links of nginx's."""

import base64
import hashlib
import http.client
import random
import re
import subprocess
import time
from pathlib import Path

from cases import PLAYLISTS, SEGMENTS, Case

KEY = "5a17c3e9d0b2846fa1c57e93b8d20f64"
LINK_SECRET = "benches-http"
LIFE_SECONDS = 86_400


def make_objects(folder: Path) -> dict[str, bytes]:
    """Writes the origin's files below `folder`/vod and returns them by name."""
    random.seed(4711)
    objects = {f"seg{name}.m4s": random.randbytes(size) for name, size in SEGMENTS.items()}
    # The origin says of these that nobody may keep them: what is asked of it each time.
    objects |= {f"live{name}.m4s": random.randbytes(SEGMENTS[name]) for name in ("1k", "1m")}
    for name, count in PLAYLISTS.items():
        objects[f"{name}.m3u8"] = media_playlist(count)
    objects["master.m3u8"] = multivariant()
    (folder / "vod").mkdir(parents=True)
    for name, content in objects.items():
        (folder / "vod" / name).write_bytes(content)
    return objects


def media_playlist(segments: int) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:6", "#EXT-X-PLAYLIST-TYPE:VOD"]
    for index in range(segments):
        lines += ["#EXTINF:6.006000,", f"720p/segment_{index:05}.m4s"]
    return ("\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n").encode()


def multivariant() -> bytes:
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for language in ("en", "es"):
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="{language}",LANGUAGE="{language}",URI="p100_{language}.m3u8"'
        )
    for index in range(6):
        lines += [
            f'#EXT-X-STREAM-INF:BANDWIDTH={(index + 1) * 900_000},CODECS="avc1.64001f,mp4a.40.2",AUDIO="aac"',
            f"p1800_{index}.m3u8" if index else "p1800.m3u8",
        ]
    return ("\n".join(lines) + "\n").encode()


def mint_sessions(edge: Path, ports: dict[str, int], count: int) -> dict[str, list[str]]:
    """Distinct sessions by carrier, each got as a viewer gets it: a minted access token, and the entry fetched with it."""
    sessions: dict[str, list[str]] = {}
    for carrier, port in ports.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        found = []
        for number in range(count):
            command = [edge, "token", "mint", "--key", KEY, "--acl", "/*", "--window", "600"]
            minted = subprocess.run(
                [*command, "--session-id", f"viewer-{number:06}"], check=True, capture_output=True, text=True
            ).stdout.strip()
            connection.request("GET", f"/vod/master.m3u8?{minted}")
            answer = connection.getresponse()
            text = answer.read().decode()
            token = re.search(r'hdntl=[^/?&"\n]+' if carrier == "path" else r'hdntl=[^&"\n]+', text)
            if answer.status != 200 or token is None:
                raise SystemExit(f"no session from the edge: {answer.status}\n{text[:400]}")
            found.append(token[0])
        if len(set(found)) != count:
            raise SystemExit("the sessions are not distinct")
        sessions[carrier] = found
    return sessions


def edge_path(case: Case, session: str) -> str:
    if case.carrier == "path":
        return f"/vod/{session}/{case.file}"
    return f"/vod/{case.file}?{session}"


def link_path(case: Case, number: int) -> str:
    """A secure_link of nginx's, in the form of its documentation: md5 over expiry, path, viewer and secret."""
    expires = int(time.time()) // LIFE_SECONDS * LIFE_SECONDS + 2 * LIFE_SECONDS
    path = f"/{case.peer}/vod/{case.file}"
    viewer = f"viewer-{number:06}"
    digest = hashlib.md5(f"{expires}{path}{viewer} {LINK_SECRET}".encode()).digest()
    link = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{path}?md5={link}&expires={expires}&viewer={viewer}"


def without_tokens(body: bytes) -> bytes:
    """A playlist as it was before it was personalised, by either server."""
    return re.sub(rb'[?&](hdntl=|md5=)[^"\n]*', b"", body)
