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

# Formatting and lints, as CI holds them
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# One figure for this machine: ingest, mqtt, verify or confirm
bench NAME *ARGS:
    cargo run --release -- bench {{NAME}} {{ARGS}}

# Golden vectors of the wire formats: a deliberate act
write-vectors:
    WATTLE_WRITE_VECTORS=1 cargo test -p protocol --test vectors
