// web WORD[=URL]…: what JavaScript with `fetch` finds under `cis run`. Each word is one thing to do.
import { getArguments, getEnvironment } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStdin } from "wasi:cli/stdin@0.2.12";
import { getDirectories } from "wasi:filesystem/preopens@0.2.12";

const bytes = (text) => new TextEncoder().encode(text);
const string = (bytes) => new TextDecoder().decode(bytes);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const names = (dir) => {
    const found = [];
    const stream = dir.readDirectory();
    for (let entry; (entry = stream.readDirectoryEntry()) != null; ) {
        found.push(entry.name);
    }
    return found.sort();
};

const words = {
    env() {
        const env = getEnvironment().map(([name, value]) => `${name}=${value}`);
        console.log(`environment ${env.sort().join(" ")}`);
    },
    async clocks() {
        const before = performance.now();
        await sleep(10);
        console.log(`clocks ${Math.floor(Date.now() / 1000)} ${performance.now() > before}`);
    },
    stdin() {
        console.log(`stdin ${string(getStdin().blockingRead(4096n))}`);
    },
    files() {
        if (getDirectories().length == 0) {
            throw new Error("no folder is mounted");
        }
        const [dir, place] = getDirectories()[0];
        const file = dir.openAt({}, "written", { create: true, truncate: true }, { read: true, write: true });
        file.write(bytes("by JavaScript"), 0n);
        console.log(`files ${place} ${string(file.read(100n, 0n)[0])} ${file.stat().size} ${names(dir)}`);
        dir.createDirectoryAt("made");
        dir.renameAt("written", dir, "made/renamed");
        try {
            dir.openAt({}, "written", {}, { read: true });
        } catch (error) {
            console.log(`caught ${error.payload}`);
        }
    },
    async get(url) {
        const response = await fetch(url);
        console.log(`get ${response.status} ${await response.text()}`);
    },
    // Its body is one that grows while it is sent; what comes back is read as it comes.
    async post(url) {
        const parts = ["by ", "Java", "Script"];
        const body = new ReadableStream({
            pull(to) {
                parts.length > 0 ? to.enqueue(bytes(parts.shift())) : to.close();
            },
        });
        const response = await fetch(url, { method: "POST", headers: { "X-Mine": "yes" }, body, duplex: "half" });
        console.log(`post ${response.status} ${await response.text()}`);
    },
    async stream(url) {
        let length = 0;
        let parts = 0;
        const reader = (await fetch(url)).body.getReader();
        for (let part; !(part = await reader.read()).done; parts++) {
            length += part.value.length;
        }
        console.log(`stream ${length} ${parts > 1}`);
    },
    // One that is late does not hold up the other.
    async both(url) {
        const came = [];
        const get = async (url) => came.push(await (await fetch(url)).text());
        await Promise.all([get(url + "/slow?ms=500"), get(url + "/hello")]);
        console.log(`both ${came.join(" ")}`);
    },
    async refused(url) {
        try {
            await fetch(url);
        } catch (error) {
            console.log(`refused ${error.name}`);
        }
    },
    async throw() {
        await sleep(1);
        throw new TypeError("on purpose");
    },
    exit7() {
        exitWithCode(7);
    },
};

export const run = {
    async run() {
        try {
            for (const argument of getArguments().slice(1)) {
                const [word, ...url] = argument.split("=");
                await words[word](url.join("="));
            }
        } catch (error) {
            // What `run` throws is the err of its result, exit code 1, and nobody prints it.
            console.error(`${error}\n${error.stack ?? ""}`);
            throw error;
        }
    },
};

// A string that is thrown is the err of a result<…, string>.
export async function text(url) {
    try {
        return await (await fetch(url)).text();
    } catch (error) {
        throw String(error);
    }
}

// Without a result an exception ends the run with a trap, after its message.
export async function status(url) {
    return (await fetch(url)).status;
}
