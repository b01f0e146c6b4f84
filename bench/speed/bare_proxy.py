"""The least reverse proxy that aiohttp can be: no keys, no routes, no limits.

`bare_proxy.py PORT UPSTREAM_PORT`
"""

import asyncio
import sys

import aiohttp
from aiohttp import web


async def main(port: int, upstream: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            url = f"http://127.0.0.1:{upstream}{request.path}"
            sent = {"content-type": request.content_type}
            async with session.post(url, data=await request.read(), headers=sent) as answer:
                if answer.content_length is not None:
                    body = await answer.read()
                    return web.Response(body=body, status=answer.status, content_type=answer.content_type)
                reply = web.StreamResponse(status=answer.status)
                reply.content_type = answer.content_type
                await reply.prepare(request)
                async for chunk in answer.content.iter_any():
                    await reply.write(chunk)
                return reply

        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
