// Runs the guest's cis build under node.js: the imports it needs, by hand, and nothing else.
import { readFileSync } from 'node:fs';

const [file, json] = process.argv.slice(2);
const input = Buffer.from(json);
const out = [];
let memory;
const cis = {
    input_len: () => BigInt(input.length),
    input_read: (offset, ptr, cap) => {
        const part = input.subarray(Number(offset), Number(offset) + cap);
        new Uint8Array(memory.buffer).set(part, ptr);
        return part.length;
    },
    output_write: (ptr, len) => {
        out.push(Buffer.from(memory.buffer.slice(ptr, ptr + len)));
        return 0;
    },
};
const { instance } = await WebAssembly.instantiate(readFileSync(file), { cis });
memory = instance.exports.memory;
const code = instance.exports.skill_execute(0, input.length);
process.stdout.write(Buffer.concat(out));
process.exitCode = code;
