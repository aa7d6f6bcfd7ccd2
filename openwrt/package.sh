#!/bin/sh
# Makes the packages for one of OpenWrt's architectures without its SDK: the daemon's, and LuCI's that fit all.
# Usage: package.sh ipk|apk ARCH [BINARY]; without BINARY it is built. Prints the files.
set -eu
cd "$(dirname "$0")/.."
usage="usage: package.sh ipk|apk ARCH [BINARY]"
format=${1:?$usage} arch=${2:?$usage}
sh tests/tools.sh make python3 zopfli >&2
binary=${3:-$(sh openwrt/build.sh "$arch")}

version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# The time of the last change is the same for everybody who builds it.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# Lays out the packages of a recipe and packs them. The other arguments are the SDK's variables.
packages() {
	recipe=$1
	shift
	sdk="make --silent --no-print-directory -C $recipe TOPDIR=$PWD/openwrt/sdk ARCH=$arch PKG_VERSION=$version"
	for package in $($sdk list); do
		stage=$work/stage/$package
		$sdk PACKAGE="$package" STAGE="$stage" SOURCE=dots-callhome "$@" stage
		sh "openwrt/$format.sh" "$stage" "${DIST:-dist}"
	done
}

mkdir -p "$work/bin"
cp "$binary" "$work/bin/dots-callhome"
packages openwrt PKG_INSTALL_DIR="$work" PKG_BUILD_DIR="$PWD"
packages luci-app PKG_RELEASE=1
