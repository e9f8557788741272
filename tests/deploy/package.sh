#!/usr/bin/env bash
# Builds the Debian package, has lintian judge it, and installs, upgrades, runs and purges it in a copy of this system whose changes
# are thrown away. Needs root, cargo-deb and lintian.
#
#   tests/deploy/package.sh [PROFILE]     of the program in it: dev unless said
set -euo pipefail
cd "$(dirname "$0")/../.."
package=$(packaging/deb "${1:-dev}" | tail -n 1)
# Unusual is the dev profile's: a program with its symbols.
lintian --fail-on error --suppress-tags unstripped-binary-or-object "$package"
dpkg -c "$package" | awk '{ print $1, $2, $6 }'

# What follows runs in namespaces of its own; the copy's upper layer lies in memory, and is gone with them.
export package=$PWD/$package
unshare --mount --pid --fork --net bash -euo pipefail <<'INSIDE'
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cp "$package" /mnt/root/tmp/sluicegate.deb
mount -t proc proc /mnt/root/proc
mount --bind /dev /mnt/root/dev
ip link set lo up 2>/dev/null || true
chroot /mnt/root bash -euo pipefail <<'CHROOT'
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
fail() { echo "package: $*" >&2; exit 1; }
as_user=(setpriv --reuid sluicegate --regid sluicegate --clear-groups --no-new-privs)
dpkg --force-depends -i /tmp/sluicegate.deb >/dev/null
[ "$(stat -c %U:%G:%a /etc/sluicegate/key)" = root:sluicegate:640 ] || fail "the key's owner"
[ "$(stat -c %U:%a /var/lib/sluicegate)" = sluicegate:750 ] || fail "the folder's owner"
"${as_user[@]}" sluicegate check --config /etc/sluicegate/config.toml >/dev/null || fail "the configuration is not good"

# An upgrade keeps the configuration as it was changed, and the key.
echo '# changed here' >>/etc/sluicegate/config.toml
key=$(cat /etc/sluicegate/key)
dpkg --force-depends -i /tmp/sluicegate.deb >/dev/null
grep -q 'changed here' /etc/sluicegate/config.toml || fail "the configuration was replaced"
[ "$(cat /etc/sluicegate/key)" = "$key" ] || fail "the key was replaced"

# As the unit runs it.
"${as_user[@]}" sluicegate lab origin --listen 127.0.0.1:9000 >/dev/null &
"${as_user[@]}" sluicegate serve --config /etc/sluicegate/config.toml >/tmp/said 2>&1 &
edge=$!
export SLUICEGATE_ADMIN_TOKEN_FILE=/etc/sluicegate/admin-token
for _ in $(seq 100); do sluicegate status >/dev/null 2>&1 && break; sleep 0.1; done
sluicegate status || { cat /tmp/said >&2; fail "it does not run"; }
token=$(sluicegate token mint --key "$key" --acl '/*' --window 300)
curl -fsS "http://localhost:8080/vod/ts/master.m3u8?$token" | grep -q 'hdntl=' || fail "no stream"
kill $edge
wait $edge || fail "it did not end well"

dpkg -P sluicegate >/dev/null 2>&1 || fail "it cannot be purged"
for path in /etc/sluicegate /var/lib/sluicegate /usr/bin/sluicegate; do [ ! -e $path ] || fail "$path is left"; done
echo "installed, upgraded, run and purged"
CHROOT
INSIDE
