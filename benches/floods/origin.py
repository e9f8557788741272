"""The origin of the floods: a playlist, segments of 16 KiB and of 4 MB, all to be kept for a day."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SEGMENTS = 50
PLAYLIST = "".join(
    ["#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n"]
    + [f"#EXTINF:6,\nsegment-{number}.m4s\n" for number in range(SEGMENTS)]
    + ["#EXT-X-ENDLIST\n"]
).encode()
MASTER = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000\nmedia.m3u8\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, body = {"/vod/master.m3u8": ("application/vnd.apple.mpegurl", MASTER), "/vod/media.m3u8": ("application/vnd.apple.mpegurl", PLAYLIST)}.get(
            self.path.split("?")[0], ("video/iso.segment", b"s" * (4_000_000 if "large" in self.path else 16_384))
        )
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=86400")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
