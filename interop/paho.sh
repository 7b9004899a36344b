#!/usr/bin/env bash
# The interoperability suites of Eclipse Paho, for MQTT 3.1.1 and MQTT 5, against an embedded broker of ours on the loopback
# interface. docs/interop.md says what came out.
#
#   interop/paho.sh [DIRECTORY]      DIRECTORY: a checkout or a bare clone of the suite; without one it is fetched
#
#   WATTLE=PROGRAM      the program to test; else it is built, optimised
#   WATTLE_PORT=PORT    the first of three ports (21880 unless given)
#
# Exit code: 0 if each test did what interop/paho.py expects of it, 1 if not.
set -euo pipefail
cd "$(dirname "$0")/.."

REPOSITORY=https://github.com/eclipse-paho/paho.mqtt.testing
COMMIT=9d7bb80bb8b9d9cfc0b52f8cb4c1916401281103
PORT=${WATTLE_PORT:-21880}
NAME=interop
PASSWORD=interop

work=$(mktemp -d)
node=
finish() {
    [ -z "$node" ] || { kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT

mkdir "$work/suite"
from=${1:-}
if [ -z "$from" ]; then
    git init -q --bare "$work/git"
    git --git-dir="$work/git" fetch -q --depth 1 "$REPOSITORY" "$COMMIT"
    from=$work/git
fi
if [ -d "$from/interoperability" ]; then
    cp -r "$from/interoperability" "$work/suite/"
else
    git --git-dir="$from" archive "$COMMIT" interoperability | tar x -C "$work/suite"
fi

if [ -z "${WATTLE:-}" ]; then
    cargo build --release --quiet --bin wattle
    WATTLE=${CARGO_TARGET_DIR:-target}/release/wattle
fi

# One node, whose broker knows one user: a service that may publish and read everything. Topics outside of our scheme go to
# subscribers and become no readings (A-3). What begins with $ must be granted by name: $TopicA is, $SYS is not.
"$WATTLE" init --nodes 1 --base-port "$PORT" --out "$work/net" >"$work/init.txt" 2>&1 || { cat "$work/init.txt" >&2; exit 1; }
printf '%s\n' "$PASSWORD" | "$WATTLE" user add "$NAME" --service --publish '#' --publish '$TopicA/#' --subscribe '#' \
    --file "$work/net/node1/users.toml"
printf '\n[broker.access]\nanonymous = "refuse"\nusers = "users.toml"\n' >>"$work/net/node1/wattle.toml"
"$WATTLE" up --config "$work/net/node1/wattle.toml" >"$work/up.txt" 2>"$work/log.txt" &
node=$!
for _ in $(seq 300); do
    (: <"/dev/tcp/127.0.0.1/$((PORT + 2))") 2>/dev/null && break
    kill -0 "$node" 2>/dev/null || { cat "$work/log.txt" >&2; exit 1; }
    sleep 0.1
done

failed=0
for suite in client_test.py client_test5.py; do
    printf '\n== %s at %s\n' "$suite" "$COMMIT"
    python3 interop/paho.py "$work/suite/interoperability" "$suite" 127.0.0.1 "$((PORT + 2))" "$NAME" "$PASSWORD" || failed=1
done
kill -0 "$node" 2>/dev/null || { echo "the node has ended:" >&2; cat "$work/log.txt" >&2; exit 1; }
exit "$failed"
