"""The skill that the conformance suite calls: tools, prompts and resources by the names that it expects. A method is a
list of steps, made into WebAssembly text here."""
import base64
import json
import os

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
IMAGE = {"type": "image", "mimeType": "image/png", "data": PNG}
ANSWERS, ANSWER_MAX, INPUT = 65536, 32768, 1 << 17  # where answers, and what a method is given, lie
PAUSE_MS = 120  # two messages of progress within 100 ms are one


def text(said):
    return {"type": "text", "text": said}


def form(message, **fields):
    return {"message": message, "schema": {"type": "object", "properties": fields, "required": list(fields)}}


def say(said):
    return ("say", said if isinstance(said, str) else json.dumps(said))


def ask(key, request):
    return ("ask", key, json.dumps(request))


def sampling(said):
    return {"sampling": {"messages": [{"role": "user", "content": text(said)}], "maxTokens": 100}}


NAME = form("What is your name?", name={"type": "string"})
OK = form("Please confirm", ok={"type": "boolean"})
THREE = ["option1", "option2", "option3"]
CONTENT = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [{"type": "audio", "mimeType": "audio/wav", "data": WAV}],
    "test_embedded_resource": [{"type": "resource", "resource": {
        "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "This is an embedded resource content."}}],
    "test_multiple_content_types": [text("Multiple content types test:"), IMAGE, {
        "type": "resource", "resource": {"uri": "test://mixed-content-resource", "mimeType": "application/json",
                                         "text": '{"test":"data","value":123}'}}],
}
LOGS = [("log", "Tool execution started"), ("wait",), ("log", "Tool processing data"), ("wait",),
        ("log", "Tool execution completed"), say("Logged.")]
METHODS = {
    "test_error_handling": [say("This tool intentionally returns an error for testing"), ("fail",)],
    "test_tool_with_logging": LOGS,
    "test_logging_tool": LOGS,
    "test_tool_with_progress": [("progress", 0), ("wait",), ("progress", 50), ("wait",), ("progress", 100), say("Done.")],
    "test_elicitation": [ask("user", form("Please provide your information",
                                          username={"type": "string", "description": "User's response"},
                                          email={"type": "string", "description": "User's email address"})),
                         say("User response: "), ("answer",)],
    "test_elicitation_sep1034_defaults": [ask("person", form(
        "Who are you?", name={"type": "string", "default": "John Doe"}, age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5}, verified={"type": "boolean", "default": True},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"})),
        say("Elicitation completed: "), ("answer",)],
    "test_elicitation_sep1330_enums": [ask("choices", form(
        "What do you choose?", untitledSingle={"type": "string", "enum": THREE},
        titledSingle={"type": "string", "oneOf": [{"const": f"value{i}", "title": f"Option {i}"} for i in (1, 2, 3)]},
        legacyEnum={"type": "string", "enum": ["opt1", "opt2", "opt3"],
                    "enumNames": ["Option One", "Option Two", "Option Three"]},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": THREE}},
        titledMulti={"type": "array", "items": {"anyOf": [{"const": f"value{i}", "title": f"Choice {i}"}
                                                          for i in (1, 2, 3)]}})),
        say("Elicitation completed: "), ("answer",)],
    "test_streaming_elicitation": [("progress", 1), ask("user_name", NAME), say("Hello.")],
    "test_input_required_result_elicitation": [ask("user_name", NAME), say("Hello, "), ("answer",)],
    "test_input_required_result_request_state": [ask("confirm", OK), say("state-ok")],
    "test_input_required_result_tampered_state": [ask("confirm", OK), say("state-ok")],
    "test_sampling": [ask("model", sampling("Test prompt for sampling")), say("LLM response: "), ("answer",)],
    "test_missing_capability": [ask("model", sampling("Hello")), say("It was not needed.")],
    "test_input_required_result_sampling": [ask("capital_question", sampling("What is the capital of France?")), ("answer",)],
    "test_input_required_result_list_roots": [ask("client_roots", {"roots": {}}), ("answer",)],
    "test_input_required_result_multiple_inputs": [ask("three", {"all": {
        "user_name": NAME, "greeting": sampling("Generate a greeting"), "client_roots": {"roots": {}}}}), ("answer",)],
    "test_input_required_result_capabilities": [ask("two", {"all": {
        "user_name": NAME, "greeting": sampling("Generate a greeting")}}), ("answer",)],
    "test_input_required_result_multi_round": [
        ask("step1", form("Step 1: What is your name?", name={"type": "string"})),
        ask("step2", form("Step 2: What is your favorite color?", color={"type": "string"})), say("Done.")],
}
PROMPTS = {"test_simple_prompt": "This is a simple prompt for testing.",
           "test_prompt_with_arguments": "Prompt with arguments: arg1='{{arg1}}', arg2='{{arg2}}'"}
PROMPT_METHODS = {
    "test_prompt_with_embedded_resource": (["resourceUri"], [say([
        {"role": "user", "content": {"type": "resource", "resource": {
            "uri": "test://example-resource", "mimeType": "text/plain", "text": "Embedded resource content for testing."}}},
        {"role": "user", "content": text("Please process the embedded resource above.")}])]),
    "test_prompt_with_image": ([], [say([{"role": "user", "content": IMAGE},
                                         {"role": "user", "content": text("Please analyze the image above.")}])]),
    "test_input_required_result_prompt": ([], [
        ask("user_context", form("What context should the prompt use?", context={"type": "string"})),
        say([{"role": "user", "content": text("There is a context.")}])]),
}
# uri: (what it is, the file's content or the method's steps)
RESOURCES = {
    "test://static-text": ("text/plain", b"This is the content of the static text resource."),
    "test://static-binary": ("image/png", base64.b64decode(PNG)),
    "test://watched-resource": ("text/plain", b"It does not change."),
    "test://template/{id}/data": ("application/json", [("input",)]),
}
IMPORTS = """(import "cis" "output_write" (func $say (param i32 i32) (result i32)))
(import "cis" "host_log" (func $log (param i32 i32 i32)))
(import "cis" "host_ask" (func $ask (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "cis" "host_progress" (func $far (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"""


class Module:
    def __init__(self):
        self.data, self.at, self.functions = [], 2048, []

    def put(self, said):
        """Where it lies, and how long it is, as two constants."""
        raw = said.encode()
        self.data.append(f'(data (i32.const {self.at}) "' + "".join(f"\\{byte:02x}" for byte in raw) + '")')
        self.at += len(raw) + 8
        assert self.at < ANSWERS
        return f"(i32.const {self.at - len(raw) - 8}) (i32.const {len(raw)})"

    def step(self, kind, *args):
        if kind == "say":
            return f"(drop (call $say {self.put(args[0])}))"
        if kind == "log":
            return f"(call $log (i32.const 2) {self.put(args[0])})"
        if kind == "progress":
            return f"(drop (call $far (i32.const {args[0]}) (i32.const 100) (i32.const 0) (i32.const 0)))"
        if kind == "ask":
            return (f"(local.set $n (call $ask {self.put(args[0])} {self.put(args[1])} (i32.const {ANSWERS}) "
                    f"(i32.const {ANSWER_MAX})))")
        if kind == "answer":
            return f"(drop (call $say (i32.const {ANSWERS}) (local.get $n)))"
        if kind == "wait":
            return "(drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))"
        if kind == "if":  # what the last question returned
            return (f"(if (i32.eq (local.get $n) (i32.const {args[0]})) (then (drop (call $say {self.put(args[1])})) "
                    "(return (i32.const 0))))")
        if kind == "input":
            return "(drop (call $say (local.get $at) (local.get $len)))"
        assert kind == "fail"
        return "(return (i32.const -1))"

    def method(self, name, steps):
        self.functions.append(f'(func (export "skill_{name}") (param $at i32) (param $len i32) (result i32) '
                              f"(local $n i32) {' '.join(self.step(*step) for step in steps)} (i32.const 0))")

    def wat(self):
        pause = (PAUSE_MS * 1000000).to_bytes(8, "little")  # a subscription: the monotonic clock, for so long
        clock = "\\01" + "\\00" * 7 + "".join(f"\\{byte:02x}" for byte in pause)
        return "\n".join(["(module", IMPORTS, '(memory (export "memory") 4)',
                          f'(data (i32.const 80) "{clock}")', *self.data,
                          f'(func (export "alloc") (param i32) (result i32) (i32.const {INPUT}))',
                          '(func (export "dealloc") (param i32 i32))',
                          '(func (export "skill_execute") (param i32 i32) (result i32) (i32.const 0))',
                          *self.functions, ")"])


def write(folder):
    """The skill's folder."""
    module = Module()
    manifest = ['[skill]\nname = "conformance"\nversion = "1.0.0"\nentry = "x.wat"\n',
                '[permissions]\nai_call = true\nfilesystem = "ro"\n']
    for name, content in CONTENT.items():
        module.method(name, [say(content)])
    for name, steps in METHODS.items():
        module.method(name, steps)
    for name in (*CONTENT, *METHODS):
        manifest.append(f'[[tools]]\nname = "{name}"\nmethod = "skill_{name}"\ndescription = "A fixture."\n'
                        f"content = {'true' if name in CONTENT else 'false'}\n")
    for name, said in PROMPTS.items():
        manifest.append(f'[[prompts]]\nname = "{name}"\ndescription = "A fixture."\ntext = {json.dumps(said)}\n')
        manifest += [f'[[prompts.arguments]]\nname = "{arg}"\nrequired = true\n' for arg in ("arg1", "arg2") if arg in said]
    for name, (arguments, steps) in PROMPT_METHODS.items():
        module.method(name, steps)
        manifest.append(f'[[prompts]]\nname = "{name}"\ndescription = "A fixture."\nmethod = "skill_{name}"\n')
        manifest += [f'[[prompts.arguments]]\nname = "{arg}"\nrequired = true\n' for arg in arguments]
    os.makedirs(folder)
    files = {}
    for i, (uri, (mime, content)) in enumerate(RESOURCES.items()):
        where = f'file = "r{i}"' if isinstance(content, bytes) else f'method = "skill_r{i}"'
        manifest.append(f'[[resources]]\nname = "r{i}"\nuri = "{uri}"\nmime_type = "{mime}"\n{where}\n')
        if isinstance(content, bytes):
            files[f"r{i}"] = content
        else:
            module.method(f"r{i}", content)
    files.update({"x.wat": module.wat().encode(), "skill.toml": "".join(manifest).encode()})
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
