// The AgentFS SDK doing what its API can do, as operations per second: one JSON object on stdout.
//   node agentfs.mjs FOLDER N       (installed beside its node_modules)
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AgentFS } from "agentfs-sdk";

const [folder, count] = [process.argv[2], Number(process.argv[3])];
mkdirSync(folder, { recursive: true });
const agent = await AgentFS.open({ path: join(folder, "agent.db") });
const small = Buffer.alloc(4096);
const big = Buffer.alloc(8 << 20);
const rates = {};

// Bytes that do not compress and differ from file to file, as ours get them.
let seed = 1;
function fill(buffer) {
    for (let i = 0; i + 4 <= buffer.length; i += 4) {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        buffer.writeUInt32LE(seed, i);
    }
}

async function timed(name, n, unit, act) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < n; i++) {
        await act(i);
    }
    rates[name] = (n * unit) / (Number(process.hrtime.bigint() - begin) / 1e9);
}

const dirs = 10;
for (let d = 0; d < dirs; d++) {
    await agent.fs.mkdir(`/d${d}`);
}
const place = (i) => `/d${i % dirs}/file-${i}`;
await timed("write 4 KiB", count, 1, async (i) => {
    fill(small);
    await agent.fs.writeFile(place(i), small);
});
await timed("read 4 KiB", count, 1, async (i) => {
    if ((await agent.fs.readFile(place(i))).length !== 4096) throw new Error("short read");
});
await timed("stat", count, 1, async (i) => {
    if ((await agent.fs.stat(place(i))).size !== 4096) throw new Error("wrong size");
});
await timed("mkdir", count, 1, (i) => agent.fs.mkdir(`/d${i % dirs}/dir-${i}`));
await timed("rename", count, 1, (i) => agent.fs.rename(place(i), `${place(i)}.new`));
await timed("unlink", count, 1, (i) => agent.fs.unlink(`${place(i)}.new`));
fill(big);
await timed("write 8 MiB, MiB/s", 3, 8, (i) => agent.fs.writeFile(`/big${i}`, big));
await timed("read 8 MiB, MiB/s", 3, 8, async (i) => {
    if ((await agent.fs.readFile(`/big${i}`)).length !== big.length) throw new Error("short read");
});
await timed("key-value set", count, 1, (i) => agent.kv.set(`key-${i}`, { value: i }));
await timed("key-value get", count, 1, async (i) => {
    if ((await agent.kv.get(`key-${i}`)).value !== i) throw new Error("wrong value");
});
console.log(JSON.stringify(rates));
await agent.close();
