"""examples/embed/serve.c with the guest incoming behind it: serve.py SERVE CIS INCOMING"""
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.parse

serve, cis, core = sys.argv[1:]


def ask(server, method, path, body=None, headers={}):
    link = http.client.HTTPConnection(server, timeout=60)
    link.request(method, path, body, headers)
    answer = link.getresponse()
    try:
        text = answer.read()
    except http.client.IncompleteRead:
        text = None
    link.close()
    return answer.status, text, dict(answer.getheaders())


def check(what, is_, should):
    if is_ != should:
        sys.exit(f"{what}: {str(is_)[:200]}, not {str(should)[:200]}")


with tempfile.TemporaryDirectory() as place:
    wasm = os.path.join(place, "incoming.wasm")
    subprocess.run([cis, "component", "new", core, "-o", wasm], check=True)
    process = subprocess.Popen([serve, wasm, "10"], stdout=subprocess.PIPE, text=True)
    try:
        server = urllib.parse.urlsplit(process.stdout.readline().strip()).netloc
        status, text, headers = ask(server, "GET", "/hello")
        check("hello", (status, text, headers["Content-Length"]), (200, b"hello", "5"))
        big = os.urandom(1 << 20)
        status, text, headers = ask(server, "POST", "/echo", big)
        check("echo", (status, text == big, headers["X-Guest"]), (200, True, "incoming"))
        check("about", b"authority " + server.encode() in ask(server, "GET", "/about?x")[1], True)
        check("HEAD", ask(server, "HEAD", "/hello")[:2], (200, b""))
        check("error", ask(server, "GET", "/error")[0], 502)
        check("none", ask(server, "GET", "/none")[0], 502)
        check("unfinished", ask(server, "GET", "/unfinished")[:2], (200, None))
        check("trap", ask(server, "GET", "/trap")[0], 502)
        check("next", ask(server, "GET", "/hello")[1], b"hello")
        check("bad", ask(server, "GET", "/hello", headers={"Content-Length": "1x"})[0], 400)
        check("exit", process.wait(60), 0)
    finally:
        process.kill()
