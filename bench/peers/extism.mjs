// Runs the guest's Extism build with the Extism SDK.
import createPlugin from '@extism/extism';

const [file, json] = process.argv.slice(2);
const plugin = await createPlugin(file, { useWasi: false });
const out = await plugin.call('run', json);
process.stdout.write(out.bytes());
await plugin.close();
