# Runs the daemon as procd's jail does with what files/etc/init.d/dots-callhome says: on a file system of its own with the mounts
# named there, read-only but for its own directories and the bus, as its own user with nothing but CAP_NET_ADMIN.
# Arguments: the directory of the jail, the user's number, the program; what follows is left out, as the defaults hold.
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
jail=$1 user=$2 program=$3 root=$1/root

show() { # WHAT WHERE HOW
	mkdir -p "$root${2%/*}"
	if [ -d "$1" ]; then mkdir -p "$root$2"; else : >"$root$2"; fi
	mount --bind "$1" "$root$2"
	mount -o "remount,bind,$3" "$root$2"
}

# A program and the libraries it needs.
show_program() {
	show "$1" "$2" ro
	for library in $(ldd "$1" | grep -o '/[^ ]*'); do
		[ -e "$root$library" ] || show "$library" "$library" ro
	done
}

mount --make-rprivate /
mkdir -p "$root"
mount -t tmpfs jail "$root"
show_program "$program" /usr/sbin/dots-callhome
show_program "$(command -v nft)" /usr/sbin/nft
# What gives up the rights; procd's jail does that itself.
show_program "$(command -v setpriv)" /usr/bin/setpriv
for device in null zero random urandom; do
	show /dev/$device /dev/$device rw
done
show /proc /proc rw
show /etc/hosts /etc/hosts ro
show "$jail/config" /etc/config ro
show "$jail/resolv.conf.d/resolv.conf.auto" /etc/resolv.conf ro
show "$jail/resolv.conf.d" /tmp/resolv.conf.d ro
show "$jail/own" /etc/dots-callhome rw
show "$jail/run" /var/run/dots-callhome rw
show "$jail/bus" /var/run/ubus rw
mount -o remount,ro "$root"
exec env -i /usr/sbin/chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all,+net_admin \
	--ambient-caps=-all,+net_admin --bounding-set=-all,+net_admin --no-new-privs /usr/sbin/dots-callhome
