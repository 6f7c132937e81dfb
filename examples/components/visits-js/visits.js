// Greets, and counts in its memory how often it met each name. Input {"name":"Ada"}.
import memory from "cis:skill/memory";
import log from "cis:skill/log";

export function run(input) {
    const { name } = JSON.parse(input);
    if (typeof name !== "string" || name === "") {
        throw 'name is missing: the input is {"name":"Ada"}'; // an err of the result
    }
    const key = `visits/${name}`;
    const visits = Number(memory.get(key) ?? 0) + 1;
    memory.set(key, String(visits));
    log.log("info", `met ${name}`);
    return JSON.stringify({ hello: name, visits });
}
