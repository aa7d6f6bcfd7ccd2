"""stamps.py INTERFACE PORT SECONDS: when the kernel saw each numbered packet of 64 bytes to that UDP port, a line each."""

import socket
import struct
import sys
import time

SO_RCVBUFFORCE, SO_TIMESTAMPNS, ETH_P_ALL = 33, 35, 3

interface, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
packets.bind((interface, 0))
packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
try:
    packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
except PermissionError:
    pass
packets.settimeout(0.1)
print("ready", flush=True)
end = time.monotonic() + seconds
lines = []
while time.monotonic() < end:
    try:
        packet, control, _, _ = packets.recvmsg(256, 64)
    except TimeoutError:
        continue
    if len(packet) != 92 or packet[9] != 17 or packet[22:24] != struct.pack("!H", port):
        continue
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            whole, parts = struct.unpack("@ll", value[: struct.calcsize("@ll")])
            lines.append(f"{int.from_bytes(packet[29:37], 'big')} {whole * 1_000_000_000 + parts}")
print("\n".join(lines))
