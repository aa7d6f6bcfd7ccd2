#!/bin/sh
# A home to try a provider with: a router, a camera and a laptop, each in a network namespace of its own. The namespace in
# which it is made is the provider's network, with the provider's address and that of an attacked host.
#
#   test-home.sh up                    makes the home and starts the router's bus and daemon; its files are in ./router
#   test-home.sh on HOST COMMAND...    runs a command on the router, the camera or the laptop
#   test-home.sh down                  ends all of it
set -eu

net() {
	echo "--net=/proc/$(cat "$1.pid")/ns/net"
}

on() {
	host=$1
	shift
	nsenter "$(net "$host")" "$@"
}

host() {
	unshare --net sleep infinity &
	echo $! >"$1.pid"
	# The holder first has this namespace, then its own.
	until [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
	on "$1" ip link set lo up
}

device() {
	host "$1"
	on router ip link add "$1" type veth peer name eth0 address "$2" netns "$(cat "$1.pid")"
	on router ip link set "$1" master br-lan up
	on "$1" ip link set eth0 up
	on "$1" ip address add "$3/24" dev eth0
	on "$1" ip route add default via 192.168.1.1
}

up() {
	host router
	ip link add edge type veth peer name wan netns "$(cat router.pid)"
	ip link set lo up
	ip link set edge up
	ip address add 198.51.100.1/24 dev edge
	ip address add 198.51.100.2/24 dev edge
	ip address add 203.0.113.80/32 dev lo
	on router ip link set wan up
	on router ip address add 198.51.100.7/24 dev wan
	on router ip route add default via 198.51.100.1
	on router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	on router nft 'table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }; }'
	on router ip link add br-lan type bridge
	on router ip link set br-lan up
	on router ip address add 192.168.1.1/24 dev br-lan
	device camera 02:00:00:00:00:0b 192.168.1.11
	device laptop 02:00:00:00:00:0c 192.168.1.12
	ubusd -s "$PWD/router/ubus.sock" >/dev/null 2>&1 &
	echo $! >ubusd.pid
	nsenter "$(net router)" dots-callhome --config router/config --ubus router/ubus.sock --state router --run router/run \
		>router/log 2>&1 &
	echo $! >daemon.pid
}

down() {
	for file in *.pid; do
		kill "$(cat "$file")" 2>/dev/null || true
		rm "$file"
	done
}

case $1 in
on)
	# In this process, so that whoever ends it ends the command.
	inside=$(net "$2")
	shift 2
	exec nsenter "$inside" "$@"
	;;
up | down) "$1" ;;
esac
