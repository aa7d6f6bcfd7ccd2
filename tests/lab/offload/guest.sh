#!/bin/sh
# Runs a test program of ours in an emulated machine with Debian's kernel, which has what this one may lack: flow tables.
# Cargo's runner. Usage: guest.sh PROGRAM ARGUMENT...
set -eu
PATH=$PATH:/usr/sbin:/sbin
test=$1
shift
build=$(dirname "$(dirname "$test")")
kernel=target/tools/linux
work=target/offload
programs="busybox nft ip conntrack modprobe"
links="sh cat mount true kill unshare stty poweroff"
# Emulated on two cores this takes some minutes, on busy ones many more: it only ends a machine that hangs.
patience=1500

# Copies files to the same place in the guest; with what they are linked to.
copy() {
	for file; do
		mkdir -p "$root$(dirname "$file")"
		cp -L "$file" "$root$file"
	done
}

copy_program() {
	copy "$1"
	# shellcheck disable=SC2046 # one word per library
	copy $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*')
}

# Debugging notes are most of our programs, and of no use there.
copy_own() {
	copy_program "$1"
	strip "$root$1"
}

[ "$(uname -m)" = x86_64 ] || { echo "the guest is an x86_64: it can't run the programs of a $(uname -m)" >&2; exit 1; }
release=$(ls $kernel/lib/modules)
modules=/lib/modules/$release
root=$PWD/$work/root
rm -rf "$root"
for folder in usr/bin usr/sbin usr/lib usr/lib64 proc sys dev tmp "$PWD/target/tmp"; do
	mkdir -p "$root/$folder"
done
for folder in bin sbin lib lib64; do
	ln -s usr/$folder "$root/$folder"
done
for program in $programs; do
	copy_program "$(command -v "$program")"
done
for link in $links; do
	ln -s "$(command -v busybox)" "$root/bin/$link"
done
for own in "$test" "$build/dots-callhome" "$build/dots-callhome-client" "$PWD/target/tools/bin/ubus-client"; do
	copy_own "$own"
done
# The bus wants names for those who speak on it.
copy /etc/passwd /etc/group
for part in net crypto lib arch drivers/net/veth.ko; do
	mkdir -p "$root$modules/kernel/$(dirname $part)"
	cp -r "$kernel$modules/kernel/$part"* "$root$modules/kernel/$(dirname $part)"
done
cp "$kernel$modules"/modules.builtin* "$kernel$modules/modules.order" "$root$modules"
depmod -b "$root" "$release"
cat >"$root/init" <<END
#!/bin/sh
export PATH=/usr/bin:/usr/sbin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
modprobe nf_conntrack
stty raw <>/dev/ttyS1
cd $PWD
$test $* >/dev/ttyS1
poweroff -f
END
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >$work/initramfs

# Our figures come over the second serial line, what the kernel and the programs say over the first.
timeout --foreground $patience qemu-system-x86_64 -machine pc -accel tcg -cpu max -smp 2 -m 1024 -nodefaults -display none -no-reboot \
	-kernel "$(ls $kernel/boot/vmlinuz-*)" -initrd $work/initramfs -append "console=ttyS0 quiet panic=-1" \
	-serial file:$work/console.log -serial stdio </dev/null | tee $work/figures
tail -n 1 $work/figures | grep -q '^offload: [1-9][0-9]* passed, 0 failed$' || {
	echo "--- the end of $work/console.log" >&2
	tail -n 60 $work/console.log >&2
	exit 1
}
