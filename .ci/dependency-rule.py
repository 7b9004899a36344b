#!/usr/bin/env python3
"""Holds the crates' ranks against `cargo metadata`.

A crate may depend only on crates of a lower rank; the engine, the broker and the MQTT client are each named by one
crate; ranks 0 and 1 know no runtime. Reads `cargo metadata --format-version 1 --no-deps` from standard input.
"""
import json
import sys

RANK = {"protocol": 0, "dag": 1, "ledger": 1, "edge": 1, "sdk": 1, "sim": 1, "replica": 2, "mqtt": 2, "node": 3}
# outside technology and the one crate that names it (tests may drive a real peer)
OWNER = {"commonware-": "replica", "rmqtt": "mqtt", "rumqttc": "mqtt", "dimpl": "mqtt", "rusqlite": "node", "axum": "node", "clap": "node",
         "rhai": "edge", "plotters": "sim"}
# what the pure ranks must not know
IMPURE = ("tokio", "async-", "futures", "getrandom", "rand", "tempfile", "rustix", "mio", "socket2")

faults = []
packages = json.load(sys.stdin)["packages"]
for package in packages:
    name = package["name"]
    if name not in RANK:
        faults.append(f"{name}: has no rank; add it to {__file__} and to docs/architecture.md")
        continue
    for dependency in package["dependencies"]:
        other, kind = dependency["name"], dependency["kind"] or "normal"
        if other in RANK and RANK[other] >= RANK[name]:
            faults.append(f"{name} (rank {RANK[name]}) depends on {other} (rank {RANK[other]})")
        if kind == "dev":
            continue
        for prefix, owner in OWNER.items():
            if other.startswith(prefix) and name != owner:
                faults.append(f"{name} names {other}, which only {owner} may")
        if RANK[name] <= 1 and other.startswith(IMPURE):
            faults.append(f"{name} (rank {RANK[name]}) depends on {other}: it must stay free of I/O, clocks and randomness")

missing = RANK.keys() - {p["name"] for p in packages}
faults += [f"{name}: has a rank but is not in the workspace" for name in sorted(missing)]
for fault in faults:
    print(f"dependency rule: {fault}", file=sys.stderr)
print(f"dependency rule: {len(packages)} crates, {len(faults)} faults")
sys.exit(1 if faults else 0)
