#!/usr/bin/env bash
# Runs the kernels of AArch64, and all that searches through them, on a machine of another kind:
#
#   tests/neon.sh [NAME...]        parts of test names; without any, those of floors 1 to 5
#
# Needs rustup, a C linker for the target and QEMU's user emulation; on Debian and Ubuntu
# `apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
linker=aarch64-linux-gnu-gcc
for tool in rustup "$linker" qemu-aarch64; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: see the head of this file" >&2; exit 2; }
done
rustup target add "$target"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
# A run that had to do without the kernels would prove nothing.
export REQUIRE_LEVELS=neon
[ $# -gt 0 ] || set -- simd quantize codec format segment search
cargo test --locked --lib --target "$target" -- "$@"
