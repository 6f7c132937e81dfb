// @NAME@ greets {"name": "…"} and counts how often, in the skill's own memory.
import memory from "cis:skill/memory";
import log from "cis:skill/log";

export function run(input) {
    const { name } = JSON.parse(input);
    if (typeof name !== "string" || name === "") {
        throw 'the input needs a name: {"name":"Ada"}'; // an err of the result
    }
    let count = 1;
    try {
        count = Number(memory.get("count") ?? 0) + 1;
        memory.set("count", String(count));
    } catch (why) {
        log.log("warn", `${why}`); // not granted: it works without a memory
    }
    return JSON.stringify({ greeting: name, count });
}
