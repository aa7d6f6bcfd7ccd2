"""Two ends of a link without Ethernet addresses, as PPP, WireGuard and OpenVPN have one: argv is the process of each host and
the name of the link there. Says `ready` when both are there; ends with its standard input."""
import ctypes
import fcntl
import os
import select
import struct
import sys

NEWNET, SETIFF, TUN_WITHOUT_HEADER = 0x40000000, 0x400454CA, 0x1001
kernel = ctypes.CDLL(None, use_errno=True)


def end(host, name):
    namespace = os.open(f"/proc/{host}/ns/net", os.O_RDONLY)
    if kernel.setns(namespace, NEWNET):
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, SETIFF, struct.pack("16sH", name.encode(), TUN_WITHOUT_HEADER))
    return device


one, other = end(sys.argv[1], sys.argv[2]), end(sys.argv[3], sys.argv[4])
print("ready", flush=True)
while True:
    for device in select.select([one, other, sys.stdin], [], [])[0]:
        if device is sys.stdin:
            sys.exit()
        packet = os.read(device, 65536)
        try:
            os.write(other if device == one else one, packet)
        except OSError:
            pass  # The far end is not up yet.
