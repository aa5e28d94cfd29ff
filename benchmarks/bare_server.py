"""The other side of the submit figure: an aiohttp handler that reads the same body, no more.

Answers with as many bytes as the real server does; prints the same ready line. Further workers are
forked before anything is served, and take connections from the same socket.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from typing import Final

import uvloop
from aiohttp import web

BACKLOG: Final = 1024


async def serve(listener: socket.socket, answer_bytes: int) -> None:
    """Answer until SIGTERM."""
    answer = b"x" * answer_bytes

    async def submit(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/pcs/submit", submit)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    """Run the handler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer-bytes", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    children = []
    for _ in range(arguments.workers - 1):
        child = os.fork()
        if not child:
            uvloop.run(serve(listener, arguments.answer_bytes))
            return
        children.append(child)
    host, port = listener.getsockname()
    sys.stdout.write(json.dumps({"ready": True, "url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    uvloop.run(serve(listener, arguments.answer_bytes))
    for child in children:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
