"""Files of others, from package registries through their ordinary clients, each of one version and
one checksum, into the user's cache. Nothing here is kept in the repository. What cannot be had is
`Missing`, which says what and why."""
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile


WAC = "0.12.0"


class Missing(Exception):
    pass


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("CIS_PROGRAMS_CACHE") or os.path.join(base, "cis-programs")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(name):
    os.makedirs(cache(), exist_ok=True)
    with open(os.path.join(cache(), name + ".lock"), "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kept(name, make):
    """A folder in the cache, made whole once by make(folder)."""
    folder = os.path.join(cache(), name)
    with locked(name):
        if not os.path.exists(os.path.join(folder, ".whole")):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            make(folder)
            with open(os.path.join(folder, ".whole"), "w", encoding="ascii"):
                pass
    return folder


def wac():
    """The command line of wac, of one version."""
    def make(folder):
        environment = {**os.environ, "CARGO_TARGET_DIR": os.path.join(folder, "target")}
        run(["cargo", "install", "wac-cli", "--version", WAC, "--locked", "--no-default-features", "--features", "wit",
             "--root", folder], env=environment)
        shutil.rmtree(os.path.join(folder, "target"))
    tool("cargo")
    return os.path.join(kept("wac-" + WAC, make), "bin", "wac")


def not_tested(test, why):
    """Into the list that `make check` shows before its summary."""
    if "CIS_BUILD_DIR" in os.environ:
        line = " ".join(str(why).split())
        with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a", encoding="utf-8") as out:
            out.write(f"sources\t{test}\t{line}\n")


def tool(name):
    if shutil.which(name) is None:
        raise Missing(f"{name} is not installed")
    return name


def run(argv, **options):
    """Its output; Missing with its last lines when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **options)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Missing(f"{' '.join(argv[:4])} …: exit {done.returncode}\n{text[-2000:]}")
    return text


def download(name, sha256, get):
    """The path of a file in the cache; get(folder) brings it there by its own name."""
    path = os.path.join(cache(), "downloads", name)
    with locked("downloads"):
        if os.path.exists(path) and digest(path) == sha256:
            return path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            get(folder)
            found = os.path.join(folder, name)
            if not os.path.exists(found):
                raise Missing(f"{name}: the registry has {', '.join(sorted(os.listdir(folder))) or 'nothing'}")
            if digest(found) != sha256:
                raise Missing(f"{name}: the registry's file has another checksum: {digest(found)}")
            os.replace(found, path)
    return path


def apt_options():
    """apt with source packages of the release this machine uses, whatever mirror that comes from, and
    with state of its own: no root needed, nothing of the machine's is changed."""
    folder = os.path.join(cache(), "apt")
    os.makedirs(os.path.join(folder, "lists", "partial"), exist_ok=True)
    os.makedirs(os.path.join(folder, "archives", "partial"), exist_ok=True)
    targets = run([tool("apt-get"), "indextargets", "--format",
                   "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)", "Created-By: Packages"])
    places = [line.split() for line in targets.splitlines()]
    places = [p for p in places if p[1:] == ["bookworm", "main", "Debian"]]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    if not places or not os.path.exists(keyring):
        raise Missing("no source packages: apt here knows no Debian 12")
    sources = os.path.join(folder, "sources.list")
    with open(sources, "w", encoding="ascii") as file:
        file.write(f"deb-src [signed-by={keyring}] {places[0][0]} bookworm main\n")
    options = []
    for key, value in (("Dir::Etc::SourceList", sources), ("Dir::Etc::SourceParts", "/dev/null"),
                       ("Dir::State::Lists", os.path.join(folder, "lists")), ("Dir::Cache", folder),
                       ("APT::Sandbox::User", ""), ("Debug::NoLocking", "1"), ("Acquire::Languages", "none")):
        options += ["-o", f"{key}={value}"]
    return options


def debian(package, name, sha256):
    """The upstream source of a Debian package."""
    def get(folder):
        options = apt_options()
        argv = ["apt-get", *options, "source", "--download-only", "-qq", package]
        try:
            run(argv, cwd=folder)
        except Missing:  # the lists are not there, or are old
            run(["apt-get", *options, "update", "-qq"])
            run(argv, cwd=folder)
    return download(name, sha256, get)


def npm(package, name, sha256):
    return download(name, sha256, lambda folder: run([tool("npm"), "pack", "--silent", package], cwd=folder))


def pypi(package, version, name, sha256):
    def get(folder):
        wanted = os.path.join(folder, "wanted")
        with open(wanted, "w", encoding="ascii") as file:
            file.write(f"{package}=={version} --hash=sha256:{sha256}\n")
        run(["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
             "-r", wanted, "-d", folder])
        os.unlink(wanted)
    return download(name, sha256, get)


def go(module, checksum):
    """The folder of a Go module, PATH@VERSION, in the cache of go; checksum is that of its files."""
    done = json.loads(run([tool("go"), "mod", "download", "-json", module], cwd=tempfile.gettempdir()))
    if done.get("Sum") != checksum:
        raise Missing(f"{module}: has another checksum: {done.get('Sum')}")
    return done["Dir"]


def unpack(path, folder):
    """Into folder, without the one directory that holds everything."""
    os.makedirs(folder, exist_ok=True)
    run(["tar", "-xf", path, "-C", folder, "--strip-components=1", "--no-same-owner"])
