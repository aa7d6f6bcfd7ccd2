#!/bin/sh
# Packs a staged package as opkg wants it: the same tree gives the same bytes.
# Usage: ipk.sh STAGE DIRECTORY; prints the file. SOURCE_DATE_EPOCH is the time of everything in it.
set -eu
stage=${1:?usage: ipk.sh STAGE DIRECTORY} directory=${2:?usage: ipk.sh STAGE DIRECTORY}
control=$stage/CONTROL

archive() {
	tar --format=gnu --numeric-owner --owner=0 --group=0 --sort=name --mtime="@${SOURCE_DATE_EPOCH:?}" "$@" -cf - | gzip -n9
}

value() {
	sed -n "s/^$1: //p" "$control/control"
}

# What the administrator may change. Of directories: the files in them now, and for a new firmware whatever is in them then.
keep() {
	package=$(value Package)
	while read -r path; do
		case $path in
		"") continue ;;
		*/)
			mkdir -p "$stage/lib/upgrade/keep.d"
			echo "$path" >>"$stage/lib/upgrade/keep.d/$package"
			;;
		esac
		(cd "$stage" && find ".$path" -type f | sed 's/^\.//')
	done <"$control/conffiles" | LC_ALL=C sort >"$control/conffiles.files"
	mv "$control/conffiles.files" "$control/conffiles"
}

keep
# Nothing in it: not in the package.
find "$control" -type f ! -name control ! -size +1c -delete
chmod 0755 "$control"/p*
# The modes of what is in CONTROL and of directories must not depend on this machine's.
chmod 0644 "$control/control" && { [ ! -f "$control/conffiles" ] || chmod 0644 "$control/conffiles"; }
find "$stage" -type d ! -perm 0700 -exec chmod 0755 {} +

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 2.0 >"$work/debian-binary"
archive -C "$stage" --exclude=./CONTROL . >"$work/data.tar.gz"
sed -i "s/^Installed-Size: .*/Installed-Size: $(gzip -dc "$work/data.tar.gz" | wc -c)/" "$control/control"
archive -C "$control" . >"$work/control.tar.gz"
mkdir -p "$directory"
file=$directory/$(value Package)_$(value Version)_$(value Architecture).ipk
archive -C "$work" ./debian-binary ./data.tar.gz ./control.tar.gz >"$file"
echo "$file"
