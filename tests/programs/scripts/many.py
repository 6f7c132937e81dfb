# 10,000 entries in one directory; entries come and go while it is listed.
import os

COUNT = 10_000
os.mkdir("many")
for n in range(COUNT):
    with open(f"many/entry-{n:05}", "w", encoding="ascii") as file:
        if n % 100 == 0:
            file.write(str(n))
names = os.listdir("many")
print(len(names), len(set(names)), min(names), max(names))
print(sum(e.stat().st_size for e in os.scandir("many")))
seen, made = [], 0
with os.scandir("many") as entries:
    for at, entry in enumerate(entries):
        seen.append(entry.name)
        if entry.name.startswith("entry") and int(entry.name[6:]) % 10 == 0:
            os.unlink(entry.path)
        if at % 25 == 0:
            os.rename("many/made", f"many/made-{made}") if made % 2 and os.path.exists("many/made") else None
            with open("many/made", "w", encoding="ascii"):
                made += 1
kept = [name for name in seen if name.startswith("entry")]
print(len(kept), len(set(kept)), made > 0)
left = sorted(name for name in os.listdir("many") if name.startswith("entry"))
print(len(left))
for name in os.listdir("many"):
    os.unlink(f"many/{name}")
os.rmdir("many")
os.mkdir("again")
for n in range(0, COUNT, 10):
    os.mkdir(f"again/{n}")
    os.rename(f"again/{n}", f"again/{n}-renamed")
print(len(os.listdir("again")), sorted(os.listdir("again"))[:3])
