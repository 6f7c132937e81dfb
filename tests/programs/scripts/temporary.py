# Temporary files and folders, and locks that are folders.
import os
import shutil
import tempfile
import time

with tempfile.TemporaryDirectory() as folder:
    for n in range(50):
        with tempfile.NamedTemporaryFile(dir=folder, delete=n % 2 == 0) as file:
            file.write(b"x" * n)
            file.flush()
            assert os.path.getsize(file.name) == n
    print(len(os.listdir(folder)))
with tempfile.TemporaryFile() as file:
    file.write(b"abc" * 1000)
    file.seek(0)
    print(len(file.read()))
with tempfile.SpooledTemporaryFile(max_size=100) as file:
    file.write(b"y" * 1000)
    file.seek(10)
    print(len(file.read()))
print(os.listdir("tmp"))


class Lock:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        for turn in range(100):
            try:
                os.mkdir(self.path)
                return turn
            except FileExistsError:
                time.sleep(0.001)
                os.rmdir(self.path)  # the one that held it is gone

    def __exit__(self, *why):
        os.rmdir(self.path)


os.mkdir("lock")
with Lock("lock") as turns:
    print("held after", turns)
    try:
        os.mkdir("lock")
    except FileExistsError as error:
        print(type(error).__name__)
print(os.path.exists("lock"))

os.makedirs("tree/a/b/c")
for n in range(30):
    with open(f"tree/a/b/f{n}", "w", encoding="ascii") as file:
        file.write(str(n) * n)
os.symlink("../b/f1", "tree/a/link")
shutil.copytree("tree", "copy", symlinks=True)
print(sorted(os.listdir("copy/a/b"))[:4], os.readlink("copy/a/link"))
shutil.move("copy/a/b", "copy/moved")
shutil.rmtree("tree/a/b")
print(sorted(os.listdir("copy")), os.listdir("tree/a"))
begin = time.monotonic()
time.sleep(0.05)
print(0.05 <= time.monotonic() - begin < 30)
