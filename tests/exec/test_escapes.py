#!/usr/bin/env python3
"""What a native program tries and does not get. Test names are sentences."""
import ctypes
import json
import os
import pty
import resource
import shutil
import socket
import subprocess
import sys
import termios
import threading
import time
import unittest

import exec_case
from exec_case import CIS, WAIT

# Each line: what is tried, and the errno or the exception that it ends with; "done" is a hole.
TRIES = r'''
import ctypes, errno, fcntl, os, socket, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args):
    rc = libc.syscall(number, *[ctypes.c_long(a) for a in args])
    print(name, "done" if rc >= 0 else errno.errorcode[ctypes.get_errno()])
def do(name, function):
    try:
        function()
        print(name, "done")
    except OSError as e:
        print(name, errno.errorcode[e.errno])
def raw(family, kind=socket.SOCK_STREAM, protocol=0):
    return lambda: socket.socket(family, kind, protocol).close()
import platform
x86 = platform.machine() == "x86_64"
if x86:
    call("keyctl", 250, 0, 0, 0, 0, 0)
    call("add_key", 248, 0, 0, 0, 0, 0)
    call("io_uring_setup", 425, 8, 0)
    call("bpf", 321, 0, 0, 0)
    call("perf_event_open", 298, 0, 0, -1, -1, 0)
    call("userfaultfd", 323, 0)
    call("unshare_user", 272, 0x10000000)
    call("unshare_mount", 272, 0x20000)
    call("clone_user", 56, 0x10000000 | 17, 0, 0, 0, 0)
    call("clone3", 435, 0, 0)
    call("setns", 308, 0, 0)
    call("mount", 165, 0, 0, 0, 0, 0)
    call("umount", 166, 0, 0)
    call("pivot_root", 155, 0, 0)
    call("chroot", 161, 0)
    call("open_tree", 428, -100, 0, 0)
    call("fsopen", 430, 0, 0)
    call("open_by_handle_at", 304, 0, 0, 0)
    call("init_module", 175, 0, 0, 0)
    call("kexec_load", 246, 0, 0, 0, 0)
    call("reboot", 169, 0, 0, 0, 0)
    call("ptrace_host", 101, 16, int(os.environ["HOST_PID"]), 0, 0)
    call("kill_host", 62, int(os.environ["HOST_PID"]), 0)
    call("setuid", 105, 65534)
    call("io_uring_enter", 426, -1, 0, 0, 0, 0, 0)
    call("io_uring_register", 427, -1, 0, 0, 0)
    call("request_key", 249, 0, 0, 0, 0)
    call("move_mount", 429, -1, 0, -1, 0, 0)
    call("fsmount", 432, -1, 0, 0)
    call("fsconfig", 431, -1, 0, 0, 0, 0)
    call("fspick", 433, -1, 0, 0)
    call("mount_setattr", 442, -1, 0, 0, 0, 0)
    call("finit_module", 313, -1, 0, 0)
    call("delete_module", 176, 0, 0)
    call("kexec_file_load", 320, -1, -1, 0, 0, 0)
    call("swapon", 167, 0, 0)
    call("swapoff", 168, 0)
    call("acct", 163, 0)
    call("quotactl", 179, 0, 0, 0, 0)
    call("quotactl_fd", 443, -1, 0, 0, 0)
    call("syslog", 103, 3, 0, 0)
    call("vhangup", 153)
    call("iopl", 172, 0)
    call("ioperm", 173, 0, 1, 0)
    call("shm_host", 30, int(os.environ["HOST_SHM"]), 0, 0)
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
call("setrlimit", 160 if x86 else 164, resource.RLIMIT_CORE, ctypes.addressof((ctypes.c_ulong * 2)()))
print("core", resource.getrlimit(resource.RLIMIT_CORE))
with open("/proc/self/oom_score_adj") as file:
    print("oom", file.read().strip())
with open(os.environ["HOST_SHOWN"]) as file:
    do("lease_shown", lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK))
do("tipc", lambda: socket.socketpair(30, socket.SOCK_STREAM))
do("packet_pair", lambda: socket.socketpair(17, socket.SOCK_RAW))
do("tioclinux", lambda: fcntl.ioctl(0, termios.TIOCLINUX, b"\2"))
do("tiocexcl", lambda: fcntl.ioctl(0, termios.TIOCEXCL))
do("tiocsetd", lambda: fcntl.ioctl(0, termios.TIOCSETD, b"\0\0\0\0"))
do("tiocsti", lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"))
do("vsock", raw(40))
do("alg", raw(38, socket.SOCK_SEQPACKET))
do("packet", raw(17, socket.SOCK_RAW))
do("raw", raw(socket.AF_INET, socket.SOCK_RAW, 1))
do("unix_host", lambda: socket.socket(socket.AF_UNIX).connect(os.environ["HOST_SOCKET"]))
do("abstract_host", lambda: socket.socket(socket.AF_UNIX).connect("\0" + os.environ["HOST_ABSTRACT"]))
do("tcp_host", lambda: socket.create_connection(("127.0.0.1", int(os.environ["HOST_PORT"])), 5).close())
for name in ("HOST_SECRET", "HOST_STORE", "HOST_HOME"):
    do("read_" + name, lambda: os.stat(os.environ[name]))
for path in ("/root", "/home", "/var/lib", "/srv", "/run/docker.sock", "/var/run/docker.sock", "/sys/kernel"):
    do("read_" + path, lambda: os.stat(path))
print("run", os.listdir("/run"), os.listdir(os.environ["HOME"]))
print("environ", open("/proc/1/environ").read().replace("\0", " "))
do("shadow", lambda: open("/etc/shadow").close())
do("core_pattern", lambda: open("/proc/sys/kernel/core_pattern", "w").close())
do("sysrq", lambda: open("/proc/sysrq-trigger", "w").close())
do("host_root", lambda: os.listdir("/proc/1/root/" + os.environ["HOST_STORE"]))
do("write_usr", lambda: open("/usr/x", "w").close())
do("write_etc", lambda: open("/etc/x", "w").close())
do("write_root", lambda: open("/x", "w").close())
do("write_dev", lambda: open("/dev/x", "w").close())
do("mknod", lambda: os.mknod("node", 0o020666, os.makedev(1, 1)))
do("chmod_device", lambda: os.chmod("/dev/null", 0o666))
do("utime_device", lambda: os.utime("/dev/zero"))
do("mem", lambda: open("/dev/mem").close())
do("fuse", lambda: open("/dev/fuse").close())
print("terminals", sorted(os.listdir("/dev/pts")))
print("processes", len([p for p in os.listdir("/proc") if p.isdigit()]))
print("descriptors", sorted(int(f) for f in os.listdir("/proc/self/fd") if int(f) > 2 and
                            os.path.exists(f"/proc/self/fd/{f}")))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("status", *(status[k].strip() for k in ("NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapBnd", "CapAmb")))
print("env", *sorted(k for k in os.environ if not k.startswith("HOST_")))
'''

# What a program does to a terminal that it is handed as stdin.
SPOILS = r'''
import os, termios
try:
    os.fchmod(0, 0o666)
    print("hole: permissions")
except OSError as e:
    print(e.strerror)
modes = termios.tcgetattr(0)
modes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
termios.tcsetattr(0, termios.TCSANOW, modes)
print(os.isatty(0))
'''

REFUSED = {"keyctl": "EPERM", "add_key": "EPERM", "io_uring_setup": "EPERM", "bpf": "EPERM", "perf_event_open": "EPERM",
           "userfaultfd": "EPERM", "unshare_user": "EPERM", "unshare_mount": "EPERM", "clone_user": "EPERM",
           "clone3": "ENOSYS", "setns": "EPERM", "mount": "EPERM", "umount": "EPERM", "pivot_root": "EPERM",
           "chroot": "EPERM", "open_tree": "EPERM", "fsopen": "EPERM", "open_by_handle_at": "EPERM",
           "init_module": "EPERM", "kexec_load": "EPERM", "reboot": "EPERM", "ptrace_host": "ESRCH",
           "kill_host": "ESRCH", "tiocsti": "EPERM", "tiocexcl": "EPERM",
           "tiocsetd": "EPERM", "tipc": "EAFNOSUPPORT",
           "lease_shown": "EACCES", "core": "(1, 1)", "vsock": "EAFNOSUPPORT", "alg": "EAFNOSUPPORT",
           "packet": "EAFNOSUPPORT", "raw": "EPERM", "abstract_host": "ECONNREFUSED", "tcp_host": "ECONNREFUSED",
           "packet_pair": "EAFNOSUPPORT", "tioclinux": "EPERM", "shm_host": "EINVAL", "run": "[] []",
           **{name: "EPERM" for name in (
               "io_uring_enter", "io_uring_register", "request_key", "move_mount", "fsmount", "fsconfig", "fspick",
               "mount_setattr", "finit_module", "delete_module", "kexec_file_load", "swapon", "swapoff", "acct", "quotactl",
               "quotactl_fd", "syslog", "vhangup", "iopl", "ioperm")},
           **{f"read_{path}": "ENOENT" for path in (
               "/root", "/home", "/var/lib", "/srv", "/run/docker.sock", "/var/run/docker.sock", "/sys/kernel")},
           "unix_host": "ENOENT", "read_HOST_SECRET": "ENOENT", "read_HOST_STORE": "ENOENT",
           "read_HOST_HOME": "ENOENT", "core_pattern": "EROFS", "write_usr": "EROFS", "write_etc": "EROFS",
           "write_root": "EROFS", "write_dev": "EROFS",
           "mknod": "EPERM", "chmod_device": "EROFS", "utime_device": "EROFS", "mem": "ENOENT", "fuse": "ENOENT"}


class Escapes(exec_case.Case):
    def setUp(self):
        super().setUp()
        self.secret = os.path.join(self.home, "id_ed25519")
        with open(self.secret, "w", encoding="ascii") as file:
            file.write("secret\n")

    def listen(self, family, address):
        """A server of the host that must not be reached; how often it was."""
        server = socket.socket(family)
        server.bind(address)
        server.listen()
        seen = []

        def serve():
            while True:
                try:
                    seen.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(server.close)
        return server, seen

    def shared(self):
        """Memory of the host that everybody of its namespace may attach."""
        libc = ctypes.CDLL(None)
        number = libc.shmget(0, 4096, 0o1666)
        self.assertGreaterEqual(number, 0)
        self.addCleanup(libc.shmctl, number, 0, None)
        return number

    def host(self):
        path = os.path.join(self.home, "agent.sock")
        name = f"cis-exec-{os.path.basename(self.home)}"
        _, unix = self.listen(socket.AF_UNIX, path)
        _, abstract = self.listen(socket.AF_UNIX, "\0" + name)
        tcp, inet = self.listen(socket.AF_INET, ("127.0.0.1", 0))
        return {"HOST_PID": os.getpid(), "HOST_SHM": self.shared(), "HOST_SOCKET": path, "HOST_ABSTRACT": name, "HOST_SECRET": self.secret,
                "HOST_PORT": tcp.getsockname()[1], "HOST_STORE": self.env["CIS_HOME"],
                "HOST_HOME": os.path.expanduser("~") + "/.profile"}, (unix, abstract, inet)

    def tries(self, *options):
        env, seen = self.host()
        shown = os.path.join(self.home, "shown") # may be read, and is the user's own
        with open(shown, "w", encoding="ascii"):
            env["HOST_SHOWN"] = shown
        more = [f"--ro={shown}", *(f"--env={k}={v}" for k, v in env.items())]
        out, _ = self.run_in("/usr/bin/python3", "-c", TRIES, options=[*more, *options],
                             env={"OPENAI_API_KEY": "sk-secret", "SSH_AUTH_SOCK": env["HOST_SOCKET"]})
        return dict(line.split(" ", 1) for line in out.splitlines()), seen

    def test_what_reaches_past_the_sandbox_is_refused(self):
        got, seen = self.tries()
        none = resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 # then it stays zero
        for name, expected in {**REFUSED, **({"core": "(0, 0)"} if none else {})}.items():
            if name in got: # others are of another processor
                self.assertEqual(got[name], expected, name)
        for name in ("shadow", "sysrq", "host_root"):
            self.assertIn(got[name], ("EACCES", "ENOENT", "EROFS", "EPERM"), name)
        self.assertEqual(seen, ([], [], []))
        self.assertLess(int(got["processes"]), 5)
        self.assertGreaterEqual(int(got["oom"]), 500)
        self.assertEqual(got["terminals"], "['ptmx']") # the machine's are not there, those of earlier runs neither
        self.assertEqual(got["descriptors"], "[]")
        self.assertEqual(got["status"], "1 2 " + " ".join(["0000000000000000"] * 4))
        for name in ("OPENAI_API_KEY", "SSH_AUTH_SOCK", "CIS_HOME", "CIS_TENANT", "CIS_STORE"):
            self.assertNotIn(name, got["env"].split())
        self.assertNotIn("sk-secret", got["environ"]) # of the sandbox's own first process
        known = {"PATH", "HOME", "PWD", "TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "NO_COLOR"}
        self.assertEqual([n for n in got["env"].split() if n not in known and not n.startswith("LC_")], [])

    def test_the_network_is_there_with_a_grant_and_nothing_else_is(self):
        got, seen = self.tries("--net")
        self.assertEqual(got["tcp_host"], "done")
        self.assertEqual([len(s) for s in (seen[0], seen[2])], [0, 1])
        landlock = ctypes.CDLL(None).syscall(444, None, 0, 1)
        if landlock >= 6:
            self.assertEqual((got["abstract_host"], len(seen[1])), ("EPERM", 0))
        for name in ("keyctl", "vsock", "packet", "unix_host", "read_HOST_SECRET", "read_HOST_STORE", "tiocsti"):
            if name in got:
                self.assertEqual(got[name], REFUSED[name], name)

    def test_folders_in_memory_have_a_size(self):
        script = "for d in /tmp /var/tmp /run /dev/shm $HOME; do head -c 20M /dev/zero > $d/x 2>/dev/null && echo hole $d; done; true"
        out, _ = self.run_in("sh", "-c", script, options=["--memory", "16MiB"])
        self.assertEqual(out, "")
        out, _ = self.run_in("sh", "-c", "echo x > /tmp/x && echo x > /dev/shm/x && echo x > $HOME/x && echo good")
        self.assertEqual(out, "good\n")

    def test_memory_that_is_in_no_process_is_none_where_there_is_a_limit(self):
        script = ("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\ntry: os.memfd_create('x'); print('hole')\n"
                  "except OSError: pass\nprint(libc.shmget(0, 1 << 30, 0o1600))\n"
                  "from multiprocessing import shared_memory\nm = shared_memory.SharedMemory(create=True, size=4096)\n"
                  "print(m.size); m.unlink()\n")
        self.assertEqual(self.run_in("/usr/bin/python3", "-c", script, options=["--memory", "64MiB"])[0], "-1\n4096\n")
        self.run_in("/usr/bin/python3", "-c", "import os; os.write(os.memfd_create('x'), b'x')")

    def test_the_key_of_a_provider_is_not_handed_on(self):
        _, told = self.run_in("env", options=["--env", "OPENAI_API_KEY"], env={"OPENAI_API_KEY": "sk"}, code=125)
        self.assertIn("stays on the host", told)

    def test_what_not_every_user_may_read_is_not_there(self):
        """Root owns it all, also without a single right."""
        script = ("find /etc /proc -maxdepth 3 -path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o "
                  "-path /proc/sys -prune -o -type f ! -perm -o=r -exec sh -c 'head -c 1 \"$1\" 2>/dev/null | grep -q . && echo \"$1\"' _ {} \\;; true")
        out, _ = self.run_in("sh", "-c", script)
        self.assertEqual(out, "")
        out, _ = self.run_in("sh", "-c", "for f in /etc/shadow /proc/kpagecount /proc/slabinfo /proc/timer_list; do "
                             "head -c 1 $f 2>/dev/null; done; head -c 4 /etc/passwd")
        self.assertEqual(out, "root")

    def test_no_command_line_shows_the_environment(self):
        """Every user of the machine can read them."""
        child = subprocess.Popen([CIS, "exec", "--env", "TOKEN", "--", "sh", "-c", "echo $TOKEN; read x"],
                                 env={**self.env, "TOKEN": "not-for-others"}, cwd=self.folder, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), b"not-for-others\n")
        below, seen = [child.pid], 0
        while below:
            pid = below.pop()
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                below += [int(p) for p in file.read().split()]
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                self.assertNotIn(b"not-for-others", file.read())
            seen += 1
        child.communicate(b"\n", timeout=WAIT)
        self.assertGreaterEqual(seen, 4)

    def test_a_terminal_that_is_handed_on_stays_as_it_was(self):
        """stdin is one, stdout is not: the program gets it, and neither its permissions nor, for long, its modes."""
        keep, terminal = pty.openpty()
        before = termios.tcgetattr(terminal), os.fstat(terminal).st_mode
        done = subprocess.run([CIS, "exec", "--", "/usr/bin/python3", "-c", SPOILS], env=self.env, cwd=self.folder,
                              stdin=terminal, capture_output=True, check=False, timeout=WAIT)
        self.assertEqual((done.returncode, done.stdout), (0, b"Read-only file system\nTrue\n"), done)
        self.assertEqual((termios.tcgetattr(terminal), os.fstat(terminal).st_mode), before)
        os.close(terminal)
        os.close(keep)

    def test_the_users_terminal_is_not_there_for_a_program_that_was_given_none(self):
        path = os.path.join(self.home, "out")
        pid, terminal = pty.fork()
        if pid == 0: # with a controlling terminal, but not as stdin or stdout
            os.chdir(self.folder)
            script = f'exec "{CIS}" exec -- sh -c "(exec 3<>/dev/tty && echo hole); true" </dev/null >{path} 2>{path}.err'
            os.execve("/bin/sh", ["sh", "-c", script], self.env)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(terminal)
        with open(path, encoding="utf-8") as out, open(path + ".err", encoding="utf-8") as told:
            self.assertEqual(out.read(), "")
            self.assertIn("/dev/tty", told.read())

    def test_a_file_or_a_folder_that_is_handed_on_is_no_way_out(self):
        path = os.path.join(self.home, "out")
        with open(path, "wb") as out:
            done = subprocess.run([CIS, "exec", "--", "/usr/bin/python3", "-c", "import os; os.fchmod(1, 0o4755)"],
                                  env=self.env, cwd=self.folder, stdout=out, check=False, timeout=WAIT)
        self.assertEqual((done.returncode, os.stat(path).st_mode & 0o4111), (0, 0))
        folder = os.open(self.home, os.O_RDONLY)
        done = subprocess.run([CIS, "exec", "--", "true"], env=self.env, cwd=self.folder, stdin=folder,
                              capture_output=True, check=False, timeout=WAIT)
        os.close(folder)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(b"descriptor 0 is a folder", done.stderr)

    def test_a_terminal_that_takes_nothing_holds_no_limit_up(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(CIS, [CIS, "exec", "--time", "2s", "--", "yes"], {**self.env, "TERM": "xterm"})
        end, runs = time.monotonic() + WAIT, []
        while not runs and time.monotonic() < end: # nobody reads what it writes
            time.sleep(0.2)
            runs = json.loads(self.cis("runs", "list", "--json"))["runs"]
        os.close(terminal)
        os.waitpid(pid, 0)
        self.assertEqual([r["status"] for r in runs], ["limit"])

    def test_programs_with_more_rights_get_none(self):
        out, _ = self.run_in("sh", "-c", "cp /usr/bin/id ./id; chmod 6755 ./id; ./id -u; for p in su mount; do "
                             "$p -c id root </dev/null >/dev/null 2>&1 && echo hole; done; true")
        self.assertEqual(out, f"{os.getuid()}\n")

    def test_links_that_lead_out_are_applied_only_when_asked_for(self):
        self.run_in("ln", "-s", self.secret, "link")
        run = self.last()
        self.assertIn(f"-> {self.secret}", self.cis("runs", "diff", run))
        self.cis("runs", "apply", run, code=8)
        self.assertEqual(self.tree(), {})
        self.cis("runs", "apply", "--outward-links", run)
        self.assertEqual(self.tree()["link"][1], self.secret)

    def test_a_run_is_not_applied_from_inside(self):
        """With the program itself, and whatever a user would tell it of the store."""
        self.run_in("touch", "made")
        run = self.last()
        home, tool = self.env["CIS_HOME"], os.path.dirname(os.path.realpath(CIS))
        script = (f"ls {home} 2>&1; CIS_HOME={home} {CIS} runs apply {run}; echo $?; CIS_HOME={home} {CIS} runs undo {run}; "
                  f"echo $?; {CIS} runs list --json")
        out, _ = self.run_in("sh", "-c", script, options=["--ro", tool])
        lines = out.splitlines()
        self.assertIn("No such file", lines[0])
        self.assertNotIn("0", lines[1:3], out)
        self.assertNotIn(run, out)
        self.assertEqual(self.tree(), {})
        self.assertNotIn("applied", self.show(run))

    def test_keys_in_the_home_folder_are_not_there(self):
        """Wherever it is, and whatever HOME says."""
        own = os.path.expanduser("~")
        script = f"ls -d {own}/.ssh {own}/.profile ~/.ssh {self.home} 2>/dev/null; cat {self.secret} 2>/dev/null; echo $HOME"
        out, _ = self.run_in("sh", "-c", script, options=["--env", f"HOME={self.home}"])
        self.assertEqual(out, "/tmp/home\n")

    def test_a_folder_that_is_exchanged_meanwhile_leads_nowhere(self):
        """The program goes on in what it was given; what stands at the name now is not written to."""
        self.put("f", "first\n")
        target = os.path.join(self.home, "target")
        os.mkdir(target)
        child = subprocess.Popen([CIS, "exec", "--", "sh", "-c", "echo go; read x; echo in > f; echo new > g; cat f; "
                                  "ls ..; echo x > ../out; true"],
                                 env=self.env, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), b"go\n")
        os.rename(self.folder, self.folder + ".old")
        os.symlink(target, self.folder)
        out, _ = child.communicate(b"\n", timeout=WAIT)
        os.unlink(self.folder)
        os.rename(self.folder + ".old", self.folder)
        self.assertEqual(child.returncode, 0)
        self.assertTrue(out.startswith(b"in\n"))
        self.assertEqual(os.listdir(target), [])
        self.assertEqual(self.tree()["f"][1], b"first\n")
        self.assertFalse(os.path.exists(os.path.join(os.path.dirname(self.folder), "out")))

    def test_while_the_user_works_in_the_folder_nothing_of_his_is_lost(self):
        self.put("f", "0\n")
        stop = threading.Event()

        def user():
            n = 0
            while not stop.is_set():
                n += 1
                path = os.path.join(self.folder, "dir")
                os.makedirs(path, exist_ok=True)
                with open(os.path.join(path, "mine"), "w", encoding="ascii") as file:
                    file.write(f"{n}\n")
                os.rename(path, path + "2")
                try:
                    os.symlink(self.home, path)
                    os.unlink(path)
                finally:
                    shutil.rmtree(path + "2")

        thread = threading.Thread(target=user)
        thread.start()
        try:
            script = ("for i in $(seq 300); do echo x > dir/id_ed25519 2>/dev/null; cat dir/id_ed25519 dir/mine "
                      "2>/dev/null; mkdir -p dir 2>/dev/null; done; true")
            out, _ = self.run_in("sh", "-c", script)
        finally:
            stop.set()
            thread.join()
        self.assertNotIn("secret", out)
        with open(self.secret, encoding="ascii") as file:
            self.assertEqual(file.read(), "secret\n")
        self.assertEqual(self.tree()["f"][1], b"0\n")

    def test_the_first_process_is_of_no_use_by_itself(self):
        for args in ([], ["0", "0", "0", "/tmp", "true"], ["x"] * 10):
            done = subprocess.run([CIS, "__enter", *args], env=self.env, capture_output=True, check=False, timeout=WAIT)
            self.assertEqual(done.returncode, 2, done)

    def test_many_at_once_on_one_folder_do_not_meet(self):
        self.put("f", "0\n")
        children = [subprocess.Popen([CIS, "exec", "--", "sh", "-c", f"echo {i} > f; sleep 0.3; cat f"], env=self.env,
                                     cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    for i in range(8)]
        for i, child in enumerate(children):
            out, told = child.communicate(timeout=WAIT)
            self.assertEqual((child.returncode, out), (0, f"{i}\n".encode()), told)
        self.assertEqual(self.tree()["f"][1], b"0\n")
        self.assertEqual(len({r["id"] for r in json.loads(self.cis("runs", "list", "--json"))["runs"]}), 8)


if __name__ == "__main__":
    exec_case.not_tested("exec_escapes")
    unittest.main(verbosity=2)
