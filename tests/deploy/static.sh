#!/usr/bin/env bash
# A static binary needs nothing around it: it serves a stream from an otherwise empty folder, as a user without a name.
#
#   tests/deploy/static.sh             builds one for this machine's own target, linked statically (some minutes)
#   tests/deploy/static.sh BINARY      takes this one, of musl for example
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(id -u)" = 0 ] || { echo "only root can chroot" >&2; exit 2; }
binary=${1:-}
if [ -z "$binary" ]; then
  host=$(rustc -vV | sed -n 's/^host: //p')
  RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --bin sluicegate --target "$host" --target-dir target/static
  binary=target/static/$host/debug/sluicegate
fi
if readelf --program-headers "$binary" | grep -q INTERP; then
  echo "$binary asks for a loader: it is not static" >&2
  exit 1
fi

root=$(mktemp -d)
edge=
trap '[ -z "$edge" ] || kill "$edge" 2>/dev/null || true; rm -rf "$root"' EXIT
chmod 755 "$root"
cp "$binary" "$root/sluicegate"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
key=00112233445566778899aabbccddeeff
cat > "$root/config.toml" <<TOML
[server]
http = ["127.0.0.1:$port"]
[[property]]
name = "static"
hosts = ["127.0.0.1"]
origin = { urls = ["lab:"] }
access = { key = { hex = "$key" } }
TOML
inside=(chroot --userspec=65532:65532 "$root" /sluicegate)
"${inside[@]}" serve --config /config.toml > "$root.log" 2>&1 & edge=$!
url=http://127.0.0.1:$port/vod/ts/master.m3u8
for _ in $(seq 100); do
  curl --silent --output /dev/null "$url" && break
  sleep 0.1
done
without=$(curl --silent --output /dev/null --write-out '%{http_code}' "$url")
token=$("${inside[@]}" token mint --key "$key" --acl '/*' --window 300)
with=$(curl --silent --write-out '%{http_code}' --output "$root.m3u8" "$url?$token")
user=$(awk '/^Uid:/ { print $2 }' "/proc/$edge/status")
[ "$without" = 403 ] && [ "$with" = 200 ] && grep -q 'hdntl=' "$root.m3u8" && [ "$user" = 65532 ] || {
  echo "without a token $without, with one $with, as user $user" >&2
  cat "$root.log" >&2
  exit 1
}
rm -f "$root.log" "$root.m3u8"
echo "a stream from an empty folder as user $user: $without without a token, $with with one"
