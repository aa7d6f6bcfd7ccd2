"""A Call Home DOTS client on aiocoap: TLS over TCP, certificates.

Usage: aiocoap_peer.py ADDRESS PORT CA CERTIFICATE KEY

Says "session" once a router has called, then answers each line "METHOD PATH [HEX]" with "CODE [HEX]".
"""

import asyncio
import ssl
import sys

import aiocoap
from aiocoap import resource
from aiocoap.transports.tls import TLSServer

DOTS_CBOR = 271


class Heartbeat(resource.Resource):
    async def render_put(self, request):
        return aiocoap.Message(code=aiocoap.CHANGED)


def tls(ca, certificate, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["coap"])
    return context


async def session(context):
    """The first connection whose settings have come."""
    while True:
        for interface in context.request_interfaces:
            server = getattr(interface, "token_interface", None)
            if isinstance(server, TLSServer):
                for connection in server._pool:
                    if connection._remote_settings is not None:
                        return connection
        await asyncio.sleep(0.02)


async def ask(context, connection, method, path, body=""):
    request = aiocoap.Message(code=getattr(aiocoap.Code, method), payload=bytes.fromhex(body))
    request.opt.uri_path = tuple(path.split("/"))
    if body:
        request.opt.content_format = DOTS_CBOR
    request.remote = connection
    response = await asyncio.wait_for(context.request(request).response, 10)
    return f"{response.code.class_}.{int(response.code) & 31:02} {response.payload.hex()}"


async def main(address, port, ca, certificate, key):
    site = resource.Site()
    site.add_resource([".well-known", "dots", "hb"], Heartbeat())
    # The library counts from the port of CoAP without TLS, one lower.
    context = await aiocoap.Context.create_server_context(
        site, bind=(address, int(port) - 1), transports=["tlsserver"], _ssl_context=tls(ca, certificate, key)
    )
    print("listening", flush=True)
    connection = await session(context)
    print("session", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            print(await ask(context, connection, *line.split()), flush=True)
        except Exception as error:
            print(f"failed {error!r}", flush=True)


asyncio.run(main(*sys.argv[1:]))
