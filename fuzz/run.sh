#!/usr/bin/env bash
# Fuzzes one target with libFuzzer on the stable toolchain; nothing but a C++ compiler is needed beside it.
#
#   fuzz/run.sh TARGET SECONDS [option of libFuzzer...]
#
# What the fuzzer adds to the corpus stays below the target directory; fuzz/corpus is read and not written. A finding is
# written to …/fuzz/artifacts/TARGET: fix it, and keep it as fuzz/corpus/TARGET/found-<what>.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
targets=$(cd "$root/fuzz/fuzz_targets" && ls ./*.rs | sed 's|^\./||; s|\.rs$||' | tr '\n' ' ')
usage="usage: fuzz/run.sh TARGET SECONDS [option of libFuzzer...]; targets: $targets"
target=${1:?$usage}
seconds=${2:?$usage}
shift 2
if ! [ -f "$root/fuzz/fuzz_targets/$target.rs" ] || ! [[ $seconds =~ ^[0-9]+$ ]]; then
    echo "$usage" >&2
    exit 2
fi

out=${CARGO_TARGET_DIR:-$root/target}/fuzz
work=$out/corpus/$target
artifacts=$out/artifacts/$target
mkdir -p "$work" "$artifacts"
out=$(cd "$out" && pwd)
cd "$root"
host=$(rustc -vV | sed -n 's/^host: //p')

# The flags of cargo-fuzz, without its sanitizers, which need nightly. With --target they do not reach build scripts.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
flags="$flags --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
RUSTFLAGS="$flags ${RUSTFLAGS:-}" CARGO_TARGET_DIR="$out" cargo build --release --manifest-path fuzz/Cargo.toml \
    --features libfuzzer --target "$host" --bin "$target"

dictionary=()
if [ -f "fuzz/dictionaries/$target.dict" ]; then
    dictionary=(-dict="fuzz/dictionaries/$target.dict")
fi
# the first folder is the one that libFuzzer writes to
exec "$out/$host/release/$target" "$out/corpus/$target" "fuzz/corpus/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$out/artifacts/$target/" ${dictionary[@]+"${dictionary[@]}"} "$@"
