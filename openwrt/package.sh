#!/bin/sh
# Makes the packages for one of OpenWrt's architectures without its SDK: the daemon's, and LuCI's that fits all.
# Usage: package.sh ARCH [BINARY]; without BINARY it is built. Prints the files.
set -eu
cd "$(dirname "$0")/.."
arch=${1:?usage: package.sh ARCH [BINARY]}
binary=${2:-$(sh openwrt/build.sh "$arch")}
directory=${DIST:-dist}

version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# The time of the last change is the same for everybody who builds it.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# Lays out the package of a recipe; the rest is variables of the SDK.
stage() {
	recipe=$1
	shift
	make --silent --no-print-directory -C "$recipe" TOPDIR="$PWD/openwrt/sdk" ARCH="$arch" PKG_VERSION="$version" "$@" stage
}

mkdir -p "$work/bin"
cp "$binary" "$work/bin/dots-callhome"
stage openwrt STAGE="$work/daemon" PKG_INSTALL_DIR="$work" PKG_BUILD_DIR="$PWD" SOURCE=dots-callhome
sh openwrt/ipk.sh "$work/daemon" "$directory"
stage luci-app STAGE="$work/luci" PKG_RELEASE=1 SOURCE=dots-callhome
sh openwrt/ipk.sh "$work/luci" "$directory"
