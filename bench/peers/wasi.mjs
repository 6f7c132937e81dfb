// A peer of `cis run`: node.js and its node:wasi.
//   node wasi.mjs MODULE HOST GUEST [ARGS…]
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const [file, host, guest, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args: ['program', ...args], preopens: { [guest]: host } });
const module = await WebAssembly.compile(readFileSync(file));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
