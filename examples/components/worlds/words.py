"""words WORD…: what Python finds under `cis run`. Each word is one thing to do."""
import os
import sys
import time

from wit_world import exports


def env():
    print("environment", " ".join(sorted(f"{k}={v}" for k, v in os.environ.items())))


def clocks():
    before = time.monotonic()
    time.sleep(0.01)
    print("clocks", int(time.time()), time.monotonic() > before)


def stdin():
    print("stdin", sys.stdin.read())


def files():
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


def throw():
    raise TypeError("on purpose")


def exit7():
    sys.exit(7)


class Run(exports.Run):
    def run(self):
        for word in sys.argv[1:]:
            globals()[word]()
        sys.stdout.flush()
