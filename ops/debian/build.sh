#!/usr/bin/env bash
# Builds the Debian package: ops/debian/build.sh [more arguments for cargo deb]. Needs `cargo install cargo-deb`.
# Completions and manual pages are made by the very program that goes into the package.
set -euo pipefail
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-target}"
cargo build --release -p node --bin wattle
made="$target/debian-files"
rm -rf "$made"
mkdir -p "$made/man" "$made/completions"
"$target/release/wattle" man "$made/man"
gzip -9n "$made"/man/*.1
for shell in bash zsh fish; do
    "$target/release/wattle" completions "$shell" > "$made/completions/$shell"
done
# cargo-deb reads what it packs from the checkout's own folder
if [ "$target" != target ]; then
    mkdir -p target
    rm -rf target/debian-files
    cp -r "$made" target/debian-files
fi
cargo deb -p node --no-build "$@"
