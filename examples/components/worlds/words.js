// words WORD…: what JavaScript finds under `cis run`. Each word is one thing to do.
import environment from "wasi:cli/environment@0.2.12";
import exit from "wasi:cli/exit@0.2.12";
import stdin from "wasi:cli/stdin@0.2.12";
import stdout from "wasi:cli/stdout@0.2.12";
import mono from "wasi:clocks/monotonic-clock@0.2.12";
import wall from "wasi:clocks/wall-clock@0.2.12";
import preopens from "wasi:filesystem/preopens@0.2.12";

// Not kept: this part runs when the component is made, and a stream of then is none of the run.
const out = () => stdout.getStdout();
// QuickJS has no TextEncoder; what is said here is ASCII.
const bytes = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const text = (bytes) => String.fromCharCode(...bytes);
const say = (line) => out().blockingWriteAndFlush(bytes(line + "\n"));
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
        const env = environment.getEnvironment().map(([name, value]) => `${name}=${value}`);
        say(`environment ${env.sort().join(" ")}`);
    },
    clocks() {
        const before = mono.now();
        say(`clocks ${wall.now().seconds} ${mono.now() >= before}`);
    },
    stdin() {
        say(`stdin ${text(stdin.getStdin().blockingRead(4096))}`);
    },
    files() {
        const [dir, place] = preopens.getDirectories()[0];
        const file = dir.openAt({}, "written", { create: true, truncate: true }, { read: true, write: true });
        file.write(bytes("by JavaScript"), 0);
        say(`files ${place} ${text(file.read(100, 0)[0])} ${file.stat().size} ${names(dir)}`);
        dir.createDirectoryAt("made");
        dir.renameAt("written", dir, "made/renamed");
        try {
            dir.openAt({}, "written", {}, { read: true });
        } catch (error) {
            say(`caught ${error?.payload ?? error}`);
        }
    },
    throw() {
        throw new TypeError("on purpose");
    },
    exit7() {
        exit.exitWithCode(7);
    },
    fail() {
        throw undefined; // the err of run's result
    },
};

export const run = {
    run() {
        for (const word of environment.getArguments().slice(1)) {
            words[word]();
        }
    },
};
