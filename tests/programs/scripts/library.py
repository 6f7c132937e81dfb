# What needs more than files: the library over them.
import array
import configparser
import csv
import datetime
import decimal
import hashlib
import io
import itertools
import json
import pickle
import random
import re
import struct
import tarfile
import zipfile

rows = [{"n": n, "name": f"row {n}", "at": str(datetime.date(2020, 1, 1) + datetime.timedelta(days=n))} for n in range(500)]
with open("rows.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
with open("rows.csv", newline="", encoding="utf-8") as file:
    print(sum(int(row["n"]) for row in csv.DictReader(file)))
with open("rows.json", "w", encoding="utf-8") as file:
    json.dump(rows, file, indent=1)
with open("rows.json", encoding="utf-8") as file:
    print(json.load(file) == rows)
with open("rows.pickle", "wb") as file:
    pickle.dump(rows, file, protocol=4)
with open("rows.pickle", "rb") as file:
    print(pickle.load(file) == rows)
with zipfile.ZipFile("rows.zip", "w") as archive:
    for name in ("rows.csv", "rows.json"):
        with open(name, "rb") as file:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6)), file.read())
with zipfile.ZipFile("rows.zip") as archive:
    print(archive.testzip(), archive.namelist())
with tarfile.open("rows.tar", "w", format=tarfile.PAX_FORMAT) as archive:
    for name in ("rows.csv", "rows.pickle"):
        entry = archive.gettarinfo(name)
        entry.mtime, entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 1.5e9, 0o644, 0, 0, "", ""
        with open(name, "rb") as file:
            archive.addfile(entry, file)
with tarfile.open("rows.tar") as archive:
    print([(m.name, m.size) for m in archive.getmembers()])
settings = configparser.ConfigParser()
settings["one"] = {"a": "1", "b": "%(a)s2"}
with open("settings.ini", "w", encoding="utf-8") as file:
    settings.write(file)
print(dict(settings["one"]))
print(hashlib.sha256(open("rows.tar", "rb").read()).hexdigest() == hashlib.sha256(open("rows.tar", "rb").read()).hexdigest())
random.seed(7)
print([random.randrange(1000) for _ in range(5)], random.gauss(0, 1))
print(decimal.Decimal(2).sqrt(), 0.1 + 0.2, 1e308 * 10, struct.pack("<dI", 1.5, 7).hex())
print(len(re.findall(r"\brow (\d+)\b", open("rows.json", encoding="utf-8").read())))
print(array.array("I", itertools.accumulate(range(10))).tolist(), io.StringIO("a\r\nb").readlines())
