#!/bin/sh
# Two nodes on this machine, each with a site, for the examples beside this file. Ctrl-C ends them.
#   sh examples/integration/network.sh [DIRECTORY]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
net=${1:-integration-net}
cargo build --quiet --bin wattle
wattle=${CARGO_TARGET_DIR:-target}/debug/wattle

if ! [ -d "$net" ]; then
    "$wattle" init --nodes 2 --site z1 --out "$net"
    cat "$here/z1.toml" >>"$net/node1/wattle.toml"
    cat "$here/z2.toml" >>"$net/node2/wattle.toml"
fi
"$wattle" up --config "$net/node1/wattle.toml" &
"$wattle" up --config "$net/node2/wattle.toml" &
trap 'kill $(jobs -p) 2>/dev/null; wait' INT TERM EXIT

until "$wattle" status >/dev/null 2>&1; do sleep 1; done
for device in meter button; do
    if ! [ -f "$net/$device.key" ]; then
        "$wattle" device key "$net/$device.key"
        "$wattle" device register "z1/$device" --device-key "$net/$device.key" --key "$net/node1/node.key"
    fi
done
echo "ready: cargo run --example integration -- gateway | signer | devices | cloud" >&2
wait
