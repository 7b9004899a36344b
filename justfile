# What people type while they work. `just` lists them.

default:
    @just --list

# What CI runs
check:
    .ci/run

# Four nodes on this machine, real data, until Ctrl-C
demo *ARGS:
    cargo run -- demo {{ARGS}}

# Every test
test *ARGS:
    cargo test --workspace {{ARGS}}

# One course of the simulation again: `just sim 7`
sim SEED *ARGS:
    WATTLE_SIM_SEED={{SEED}} cargo test -p replica --test sim every_scenario -- --nocapture {{ARGS}}

# That many courses of the simulation, optimised: `just soak 5000`
soak COUNT *ARGS:
    WATTLE_SIM_SEEDS={{COUNT}} cargo test --release -p replica --test sim every_scenario -- --nocapture {{ARGS}}

# The same for wallets that spend: 10 000 play more than 1 000 courses of them
soak-spending COUNT="10000" *ARGS:
    WATTLE_SIM_SEEDS={{COUNT}} WATTLE_SIM_ONLY=spending cargo test --release -p replica --test sim every_scenario -- --nocapture {{ARGS}}

# Formatting and lints, as CI holds them
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# One figure for this machine: `wattle bench --help` lists them
bench NAME *ARGS:
    cargo run --release -- bench {{NAME}} {{ARGS}}

# The figures of the papers, from models: `just figures`, in docs/figures
figures *ARGS:
    cargo run --release -- sim brokers --all --out docs/figures {{ARGS}}
    cargo run --release -- sim scale --all --out docs/figures
    cargo run --release -- sim brokers --sources 1-100 --brokers 1,2,4 --service 5ms,6ms,7ms --phase uniform --out docs/figures/uniform
    cargo run --release -- sim votes --voters 4,8,16,48,128,1000,10000 --out docs/figures
    cargo run --release -- sim votes --voters 4,8,16,48,128 --link 1.5ms --out docs/figures/votes-1.5ms

# Four nodes killed at random for so many seconds; WATTLE_CRASH_SEED repeats a schedule
crash SECONDS="60":
    WATTLE_CRASH_SECONDS={{SECONDS}} cargo test -p node --test crash nodes_killed_at_random -- --nocapture

# Fuzz one target for so many seconds: decode, edge_payload, fog, dag_model, ledger_model, verify_receipt or mqtt_sn
fuzz TARGET SECONDS *ARGS:
    fuzz/run.sh {{TARGET}} {{SECONDS}} {{ARGS}}

# Eclipse Paho's interoperability suites against our broker: `just interop`, or `just interop CHECKOUT`
interop *ARGS:
    interop/paho.sh {{ARGS}}

# The console in Chromium, against a demo: needs /usr/bin/chromium, npm and Node 20
console *ARGS:
    cargo build
    cd console/tests && npm ci --silent --no-audit --no-fund
    cd console/tests && npm test {{ARGS}}

# Requests made from a node's own OpenAPI document, sensible and senseless ones: `just schemathesis 100`
schemathesis *ARGS:
    interop/schemathesis.sh {{ARGS}}

# Lints and tests of the feature `otel`, which CI leaves out
otel:
    cargo clippy -p node --features otel --all-targets -- -D warnings
    cargo test -p node --features otel --bin wattle traces
    cargo test -p node --features otel --test traces

# Golden vectors of the wire formats: a deliberate act
write-vectors:
    WATTLE_WRITE_VECTORS=1 cargo test -p protocol --test vectors --test exchange
