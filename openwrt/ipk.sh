#!/bin/sh
# Packs a staged package as opkg wants it: the same tree gives the same bytes.
# Usage: ipk.sh STAGE DIRECTORY; prints the file. SOURCE_DATE_EPOCH is the time of everything in it.
set -eu
stage=${1:?usage: ipk.sh STAGE DIRECTORY} directory=${2:?usage: ipk.sh STAGE DIRECTORY}
control=$stage/CONTROL

archive() {
	tar --format=gnu --numeric-owner --owner=0 --group=0 --sort=name --mtime="@${SOURCE_DATE_EPOCH:?}" "$@" -cf -
}

value() {
	sed -n "s/^$1: //p" "$control/control"
}

# opkg takes files only: of directories those in them now.
(cd "$stage" && sed -n 's/^./.&/p' CONTROL/conffiles | xargs -r -I{} find {} -type f | sed 's/^\.//' | LC_ALL=C sort) >"$control/files"
mv "$control/files" "$control/conffiles"
# What says nothing is not in the package.
find "$control" -type f ! -size +1c -delete

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 2.0 >"$work/debian-binary"
archive -C "$stage" --exclude=./CONTROL . >"$work/data.tar"
sed -i "s/^Installed-Size: .*/Installed-Size: $(wc -c <"$work/data.tar")/" "$control/control"
# What gzip's best leaves, some 3 per cent, is much on a router's flash.
zopfli --i5 "$work/data.tar"
archive -C "$control" . | gzip -n9 >"$work/control.tar.gz"
mkdir -p "$directory"
file=$directory/$(value Package)_$(value Version)_$(value Architecture).ipk
archive -C "$work" ./debian-binary ./data.tar.gz ./control.tar.gz | gzip -n9 >"$file"
echo "$file"
