"""The other side of the submit figure: an aiohttp handler that reads the same body, no more.

Answers with as many bytes as the real server does; prints the same ready line.
"""

import argparse
import asyncio
import json
import signal
import sys

import uvloop
from aiohttp import web


async def serve(answer_bytes: int) -> None:
    """Answer until SIGTERM."""
    answer = b"x" * answer_bytes

    async def submit(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/pcs/submit", submit)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(json.dumps({"ready": True, "url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    """Run the handler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer-bytes", type=int, required=True)
    uvloop.run(serve(parser.parse_args().answer_bytes))


if __name__ == "__main__":
    main()
