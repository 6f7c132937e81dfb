"""words WORD[=URL]…: what Python finds under `cis run`. Each word is one thing to do."""
import asyncio
import os
import sys
import time
from urllib.parse import urlsplit

import poll_loop  # comes with componentize-py: asyncio on wasi:io/poll, bodies of wasi:http
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import exit as wasi_exit
from wit_world.imports.types import Fields, Method_Post, OutgoingRequest, Scheme_Http, Scheme_Https


async def env():
    print("environment", " ".join(sorted(f"{k}={v}" for k, v in os.environ.items())))


async def clocks():
    before = time.monotonic()
    time.sleep(0.01)
    print("clocks", int(time.time()), time.monotonic() > before)


async def stdin():
    print("stdin", sys.stdin.read())


async def files():
    with open("/d/written", "w+", encoding="utf-8") as file:
        file.write("by Python")
        file.seek(0)
        print("files /d", file.read(), os.stat("/d/written").st_size, ",".join(sorted(os.listdir("/d"))))
    os.mkdir("/d/made")
    os.rename("/d/written", "/d/made/renamed")
    try:
        open("/d/written", encoding="utf-8").close()
    except FileNotFoundError as error:
        print("caught", error.strerror)


async def fetch(url, parts=None):
    """The response to a GET, or to a POST of those parts, each sent when the one before is on its way."""
    place = urlsplit(url)
    request = OutgoingRequest(Fields.from_list([("X-Mine", b"yes")]))
    request.set_scheme(Scheme_Https() if place.scheme == "https" else Scheme_Http())
    request.set_authority(place.netloc)
    request.set_path_with_query(place.path + ("?" + place.query if place.query else ""))
    if parts is None:
        return await poll_loop.send(request)
    request.set_method(Method_Post())
    sink = poll_loop.Sink(request.body())

    async def send_body():
        for part in parts:
            await sink.send(part)
        sink.close()

    response, _ = await asyncio.gather(poll_loop.send(request), send_body())
    return response


async def chunks(response):
    stream = poll_loop.Stream(response.consume())
    while (chunk := await stream.next()) is not None:
        yield chunk


async def text(response):
    return b"".join([chunk async for chunk in chunks(response)]).decode()


async def get(url):
    response = await fetch(url)
    print("get", response.status(), await text(response))


async def post(url):
    response = await fetch(url, [b"by ", b"Py", b"thon"])
    print("post", response.status(), await text(response))


async def stream(url):
    sizes = [len(chunk) async for chunk in chunks(await fetch(url))]
    print("stream", sum(sizes), len(sizes) > 1)


async def both(url):
    """One that is late does not hold up the other."""
    came = []

    async def one(path):
        came.append(await text(await fetch(url + path)))

    await asyncio.gather(one("/slow?ms=500"), one("/hello"))
    print("both", *came)


async def refused(url):
    try:
        await fetch(url)
    except Err as error:
        print("refused", type(error.value).__name__)


async def throw():
    raise TypeError("on purpose")


async def quit7():
    sys.exit(7)  # which is not 0: its runtime makes 1 of it


async def exit7():
    sys.stdout.flush()  # this ends the run at once
    wasi_exit.exit_with_code(7)


class Run(exports.Run):
    def run(self):
        loop = poll_loop.PollLoop()
        asyncio.set_event_loop(loop)
        try:
            for argument in sys.argv[1:]:
                word, *url = argument.split("=", 1)
                loop.run_until_complete(globals()[word](*url))
        except Err as error:
            # What leaves `run` as an Err is the err of its result, exit code 1, and nobody prints it.
            print("words:", type(error.value).__name__, file=sys.stderr)
            raise
        finally:
            sys.stdout.flush()
