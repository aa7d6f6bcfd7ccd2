#!/bin/sh
# Runs every fuzz target for some seconds, with coverage feedback, from the seeds in the tree and from what former runs have
# found. Usage: run.sh SECONDS [TARGET...]
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls fuzz_targets | sed 's/\.rs$//')
# What libFuzzer needs of the compiler; all of it is to be had on a stable toolchain.
RUSTFLAGS="-C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
-C llvm-args=-sanitizer-coverage-pc-table -C llvm-args=-sanitizer-coverage-trace-compares"
# The C code, Mbed TLS above all, counts its edges in coverage.c.
CFLAGS="-fsanitize-coverage=trace-pc"
# What is read from files is written to memory.
[ ! -d /dev/shm ] || TMPDIR=/dev/shm
export RUSTFLAGS CFLAGS TMPDIR CARGO_TARGET_DIR=../../target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
for target in "$@"; do
	corpus=$CARGO_TARGET_DIR/corpus/$target
	mkdir -p "$corpus"
	set --
	[ ! -e "dictionaries/$target" ] || set -- -dict="dictionaries/$target"
	# With a target named, build scripts are left without the flags.
	cargo run --quiet --release --target "$host" --bin "$target" -- "$@" -max_total_time="$seconds" -rss_limit_mb=1024 \
		-artifact_prefix="$CARGO_TARGET_DIR/" "$corpus" "seeds/$target" 2>"$CARGO_TARGET_DIR/$target.log" ||
		{ tail -n 30 "$CARGO_TARGET_DIR/$target.log"; exit 1; }
	awk -v target="$target" '/INITED/ { seeds = $4 "/" $6 } / cov: / { reached = $4 "/" $6 } /^Done/ { done = $2 }
		END { print target ": " done " runs, edges/features " seeds " of the seeds and the corpus, " reached " at the end" }' \
		"$CARGO_TARGET_DIR/$target.log"
done
