# Everything a program does with files, and what it gives: the same lines wherever it runs.
import errno
import os
import stat


def say(*words):
    print(*words, flush=True)


def fails(name, act):
    try:
        act()
        say(name, "-> no error")
    except OSError as error:
        say(name, "->", errno.errorcode[error.errno])


def put(path, text, mode="w"):
    with open(path, mode, encoding="utf-8") as file:
        file.write(text)


def get(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


os.mkdir("names")
os.chdir("names")
put("a", "first\n")
put("a", "second\n", "a")
say(get("a"), os.stat("a").st_size)
fails("exclusive", lambda: put("a", "", "x"))
put("ä ö 名前", "utf-8 name")
say(sorted(os.listdir(".")))
os.rename("a", "b")
fails("gone", lambda: os.stat("a"))
put("c", "over")
os.replace("b", "c")
say(get("c"), sorted(os.listdir(".")))
os.mkdir("d")
os.mkdir("d/e")
put("d/e/f", "deep")
fails("rmdir full", lambda: os.rmdir("d"))
fails("rename onto full", lambda: os.rename("d/e", "d"))
fails("rename into itself", lambda: os.rename("d", "d/e/g"))
fails("file as folder", lambda: os.listdir("c"))
fails("below a file", lambda: os.stat("c/x"))
fails("unlink folder", lambda: os.unlink("d/e"))
fails("mkdir again", lambda: os.mkdir("d"))
fails("long name", lambda: put("n" * 256, ""))
put("n" * 255, "longest")
os.rename("d", "moved")
say(get("moved/e/f"))
fails("slash on file", lambda: os.stat("c/"))
fails("open folder to write", lambda: put("moved", ""))
os.chdir("..")

os.mkdir("links")
os.chdir("links")
put("target", "text")
os.link("target", "hard")
os.symlink("target", "soft")
os.symlink("none", "dangling")
os.symlink("loop", "loop")
os.mkdir("dir")
os.symlink("dir", "to-dir")
say(os.stat("hard").st_nlink, os.stat("hard").st_ino == os.stat("target").st_ino, os.readlink("soft"))
put("soft", " more", "a")
say(get("hard"), os.path.islink("soft"), os.path.exists("dangling"), os.path.lexists("dangling"))
fails("loop", lambda: get("loop"))
fails("dangling", lambda: get("dangling"))
fails("readlink of a file", lambda: os.readlink("hard"))
put("to-dir/inside", "x")
say(sorted(os.listdir("dir")), sorted(os.listdir("to-dir")))
os.unlink("target")
say(get("hard"), os.stat("hard").st_nlink)
fails("soft dangles", lambda: get("soft"))
os.rename("soft", "renamed-link")
say(os.readlink("renamed-link"), stat.S_ISLNK(os.lstat("renamed-link").st_mode))
fails("rmdir of a link", lambda: os.rmdir("to-dir"))
fails("link again", lambda: os.link("hard", "dangling"))
say(sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in os.scandir(".")))
os.chdir("..")

os.mkdir("content")
os.chdir("content")
with open("holes", "wb") as file:
    file.seek(1_000_000)
    file.write(b"end")
    file.seek(500_000)
    file.write(b"middle")
say(os.stat("holes").st_size)
with open("holes", "r+b") as file:
    say(file.read(10), file.seek(0, 2), file.seek(-3, 1), file.read())
    file.truncate(500_003)
    file.seek(499_998)
    say(file.read())
    file.truncate(600_000)
    file.seek(500_000)
    say(file.read(8), os.fstat(file.fileno()).st_size)
with open("appended", "ab") as one, open("appended", "ab") as two:
    for n in range(100):
        for file in (one, two):
            file.write(b"%d " % n)
            file.flush()
with open("appended", "rb") as file:
    say(len(file.read()))
fd = os.open("raw", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
say(os.write(fd, b"0123456789"), os.pread(fd, 4, 3), os.pwrite(fd, b"XY", 8), os.lseek(fd, 0, 0), os.read(fd, 20))
os.ftruncate(fd, 3)
say(os.fstat(fd).st_size, os.read(fd, 5))
os.unlink("raw")
say(os.pread(fd, 10, 0), os.fstat(fd).st_nlink)
os.fsync(fd)
os.close(fd)
fails("closed", lambda: os.read(fd, 1))
fd = os.open("appended", os.O_RDONLY)
fails("write to a reader", lambda: os.write(fd, b"x"))
os.close(fd)
fails("seek before", lambda: os.lseek(os.open("appended", os.O_RDONLY), -1, 0))
with open("large", "wb") as file:
    for n in range(300):
        file.write(bytes([n % 251]) * 10_007)
with open("large", "rb") as file:
    total = 0
    while part := file.read(65_536):
        total = (total * 31 + sum(part)) % 1_000_003
say(total)
os.chdir("..")

os.mkdir("times")
os.chdir("times")
for n, at in enumerate((0, 1, 999_999_999, 1_234_567_890_123_456_789, 4_102_444_800_000_000_001)):
    put(f"t{n}", str(at))
    os.utime(f"t{n}", ns=(at, at))
    say(os.stat(f"t{n}").st_mtime_ns, os.stat(f"t{n}").st_atime_ns >= 0)
os.symlink("t1", "l")
os.utime("l", ns=(5, 7_000_000_007))
say(os.stat("t1").st_mtime_ns, stat.S_ISREG(os.stat("l").st_mode))
os.utime("t1", ns=(1, 1))
before = os.stat("t2").st_mtime_ns
get("t2")
say(os.stat("t2").st_mtime_ns == before)
os.chdir("..")
for folder, dirs, names in sorted(os.walk(".")):
    say(folder, sorted(dirs), len(names))
