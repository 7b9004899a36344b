#!/usr/bin/env bash
# Schemathesis makes requests from a node's own OpenAPI document, sensible and senseless ones, and looks whether each answer is one
# that the document allows. The node is ours, on the loopback interface.
#
#   interop/schemathesis.sh [EXAMPLES]      requests that are made for each path (100 unless given)
#
#   WATTLE=PROGRAM      the program to test; else it is built, optimised
#   WATTLE_PORT=PORT    the first of three ports (21890 unless given)
#   SCHEMATHESIS=PATH   the program `schemathesis` (or `st`); else it is installed by pip, aside
#
# Exit code: 0 if there was neither a server error nor an answer against the document, and the node still runs.
set -euo pipefail
cd "$(dirname "$0")/.."

EXAMPLES=${1:-100}
PORT=${WATTLE_PORT:-21890}
CHECKS=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance

work=$(mktemp -d)
node=
finish() {
    [ -z "$node" ] || { kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT

if [ -z "${WATTLE:-}" ]; then
    cargo build --release --quiet --bin wattle
    WATTLE=${CARGO_TARGET_DIR:-target}/release/wattle
fi
if [ -z "${SCHEMATHESIS:-}" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q 'schemathesis>=4,<5'
    SCHEMATHESIS=$work/venv/bin/schemathesis
fi

"$WATTLE" init --nodes 1 --base-port "$PORT" --out "$work/net" >"$work/init.txt" 2>&1 || { cat "$work/init.txt" >&2; exit 1; }
config=$work/net/node1/wattle.toml
# nobody gets in without a token, and a token is not slowed
sed -i 's/^open = "loopback"$/open = "none"\nrequests_per_second = 0/' "$config"
token=$("$WATTLE" token create --name schemathesis --scopes admin --expires 1d --config "$config" 2>/dev/null)
"$WATTLE" up --config "$config" >"$work/up.txt" 2>"$work/log.txt" &
node=$!
for _ in $(seq 300); do
    (: <"/dev/tcp/127.0.0.1/$((PORT + 1))" && : <"/dev/tcp/127.0.0.1/$((PORT + 2))") 2>/dev/null && break
    kill -0 "$node" 2>/dev/null || { cat "$work/log.txt" >&2; exit 1; }
    sleep 0.1
done
# some readings, so that there is something to ask for
printf 'time_ms,device,power_w\n1470009600000,m1,412.5\n1470009601000,m1,413.5\n' >"$work/meters.csv"
"$WATTLE" replay "$work/meters.csv" --broker "mqtt://127.0.0.1:$((PORT + 2))" --site z1 >/dev/null

failed=0
# events have no end
"$SCHEMATHESIS" run "http://127.0.0.1:$((PORT + 1))/api/openapi.json" --header "Authorization: Bearer $token" --checks "$CHECKS" \
    --max-examples "$EXAMPLES" --exclude-path /api/v1/events --request-timeout 30 || failed=1
kill -0 "$node" 2>/dev/null || { echo "the node has ended:" >&2; cat "$work/log.txt" >&2; exit 1; }
if grep -q 'internal fault\|panicked' "$work/log.txt"; then
    echo "the node's log:" >&2
    cat "$work/log.txt" >&2
    failed=1
fi
exit "$failed"
