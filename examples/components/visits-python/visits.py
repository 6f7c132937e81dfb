"""Greets, and counts in its memory how often it met each name. Input {"name":"Ada"}."""
import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import log, memory


class WitWorld(wit_world.WitWorld):
    def run(self, input: str) -> str:
        name = json.loads(input).get("name")
        if not isinstance(name, str) or name == "":
            raise Err('name is missing: the input is {"name":"Ada"}')
        key = "visits/" + name
        visits = int(memory.get(key) or "0") + 1
        memory.set(key, str(visits))
        log.log(log.Level.INFO, "met " + name)
        return json.dumps({"hello": name, "visits": visits})
