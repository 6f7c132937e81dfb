"""@NAME@ greets {"name": "…"} and counts how often, in the skill's own memory."""
import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import log, memory


class WitWorld(wit_world.WitWorld):
    def run(self, input: str) -> str:
        name = json.loads(input).get("name")
        if not isinstance(name, str) or name == "":
            raise Err('the input needs a name: {"name":"Ada"}')
        count = 1
        try:
            count = int(memory.get("count") or "0") + 1
            memory.set("count", str(count))
        except Err as why:
            log.log(log.Level.WARN, str(why))  # not granted: it works without a memory
        return json.dumps({"greeting": name, "count": count})
