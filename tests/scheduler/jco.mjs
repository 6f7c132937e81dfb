// jco.mjs COMPONENT FOLDER SCENARIO: what run-scenario says under node, as JavaScript that jco makes of the
// component. The last line is {"ok": …} or {"err": …}.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [component, folder, scenario] = process.argv.slice(2);
const installed = createRequire(join(process.cwd(), 'package.json'));
const { transpile } = await import(pathToFileURL(installed.resolve('@bytecodealliance/jco-transpile')));
const made = await transpile(component, { name: 'component', outDir: folder });
for (const [name, bytes] of Object.entries(made.files)) {
    const path = name.startsWith(folder) ? name : join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
}
const { runScenario } = await import(pathToFileURL(join(folder, 'component.js')));
let said;
try {
    said = { ok: runScenario(await readFile(scenario, 'utf8')) };
} catch (error) {
    said = { err: error.payload ?? String(error) };
}
process.stdout.write('\n' + JSON.stringify(said) + '\n', () => process.exit(0));
