#!/bin/sh
# Builds the static daemon for one of OpenWrt's architectures and prints where it is, or runs another of cargo's commands
# as for it: `build.sh mips_24kc test --features client --test call_home`. Usage: build.sh ARCH [COMMAND ARGUMENT...]
#
# The linker and the C compiler are zig's, through cargo-zigbuild. The target's standard library comes from rustup where
# it has it, else it is built from the distribution's sources with the compiler they belong to: rustup has none for MIPS.
set -eu
cd "$(dirname "$0")/.."
arch=${1:?usage: build.sh ARCH [COMMAND ARGUMENT...]} command=${2:-zigbuild}
if [ $# -gt 1 ]; then shift 2; else set -- --bin dots-callhome; fi

case $arch in
x86_64) target=x86_64-unknown-linux-musl ;;
aarch64_*) target=aarch64-unknown-linux-musl ;;
arm_*_neon* | arm_*_vfp*) target=armv7-unknown-linux-musleabihf ;;
riscv64_*) target=riscv64gc-unknown-linux-musl ;;
mips_*) target=mips-unknown-linux-musl ;;
mipsel_*) target=mipsel-unknown-linux-musl ;;
*)
	echo "no Rust target known for $arch" >&2
	exit 2
	;;
esac
sh tests/tools.sh zig >&2

# zig links static programs to fixed addresses, so code for others is only larger (and on MIPS crashes in the first thread).
# A panic aborts, so nothing ever reads the tables of how to unwind: a tenth of the binary.
# zig compiles its C library when it links, for speed if nobody asks for size.
flags="-C relocation-model=static -C force-unwind-tables=no -C link-arg=-Os -C link-arg=-Wl,-T,openwrt/discard.ld"
export TARGET_CFLAGS="-fno-pic -fno-unwind-tables -fno-asynchronous-unwind-tables"
# No path of the building machine belongs into a binary.
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
	flags="$flags --remap-path-prefix=$sources="
done
export CARGO_TARGET_DIR=target/package PATH="$PWD/target/tools/python/bin:$PATH"

if ! command -v rustup >/dev/null || ! rustup target list --installed | grep -qx $target; then
	sh tests/tools.sh rustc-web >&2
	export RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo RUSTC_BOOTSTRAP=1
	flags="$flags -C link-self-contained=no --remap-path-prefix=/usr/src/="
	# build-std is not stable yet; what it takes here belongs to the very compiler. Without the features left out, backtraces
	# among them, the binary is smaller: stripped it could tell none anyway.
	set -- -Z build-std=std,panic_abort -Z build-std-features=optimize_for_size -Z panic-abort-tests "$@"
fi
RUSTFLAGS=$flags cargo-zigbuild "$command" --locked --release --target $target "$@" >&2
[ "$command" != zigbuild ] || echo $CARGO_TARGET_DIR/$target/release/dots-callhome
