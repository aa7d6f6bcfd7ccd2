#!/bin/sh
# The C code under the sanitizers of addresses and of undefined behaviour: our shim and Mbed TLS, in all tests of DTLS. What the
# compiler of C has for them is enough; Rust is not instrumented, but what it allocates and hands over is watched.
set -eu
cd "$(dirname "$0")/.."
CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
# Rust links without the compiler's own libraries, and the runtime of the first one wants to be loaded before all others.
RUSTFLAGS="-C linker=cc -C link-arg=-lasan -C link-arg=-lubsan"
runtime=$(cc -print-file-name=libasan.so)
# Rust's tests leave their threads' memory to the system.
ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:strict_string_checks=1"
UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
export CFLAGS RUSTFLAGS ASAN_OPTIONS UBSAN_OPTIONS CARGO_TARGET_DIR=target/sanitize
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, build scripts are left without the flags.
cargo test --all-features --target "$host" --config "target.$host.runner = ['env', 'LD_PRELOAD=$runtime']" \
	--test suite -- dtls provider_udp

# The crate of our sorted vectors has unsafe code: tests that insert, remove, cut and walk them, interpreted by Miri.
unset CFLAGS RUSTFLAGS
if cargo +nightly miri --version >/dev/null 2>&1; then
	MIRIFLAGS="-Zmiri-disable-isolation" CARGO_TARGET_DIR=target/miri \
		cargo +nightly miri test --all-features --test suite -- mitigation::overlap source::inventory
else
	echo "no Miri: rustup component add miri rust-src --toolchain nightly"
fi
