#!/bin/sh
# Makes the secrets of compose.yaml, each once: docker/secrets/{key,admin_token,redis_password,grafana_password}.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
# Nobody else comes into the folder. The files are readable, since the containers that get them have other users.
chmod 700 "$folder"
for name in key admin_token redis_password grafana_password; do
  [ -s "$folder/$name" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
  chmod 644 "$folder/$name"
done
