/* Prints docs/abi.md from the tables of host functions, so that it cannot say something else than
 * the code does: gen_abi > docs/abi.md */
#include <stdio.h>
#include "skillabi/iface.h"

static const char *const component =
    "The typed form, for components (WIT text: `share/cis/wit/cis-skill.wit`; more in "
    "[component.md](component.md)). A component imports any of the interfaces, in any version "
    "0.1.x, and exports `run: func(input: string) -> result<string, string>`. Without its grant a "
    "call answers `err(denied)`. `error` is `" CIS_IFACE_ERROR "`.";

static const struct {
    const char *abi, *text;
} about[] = {
    {"env-packed",
     "Module `env`. A text comes back as i64 = ptr<<32 | len in memory obtained from "
     "the guest's allocator. A guest with any `env.host_*` import that returns i64 is "
     "of this ABI."},
    {"env-buffer", "Module `env`. Results go to a buffer of the guest. Common codes: -1 not "
                   "allowed, or the guest has no memory; -10 a limit of the run was exceeded."},
    {"cis-direct", "Module `cis`. Results go to a buffer of the guest; the value is the full "
                   "length, so that a guest can ask again with more room."},
    {"cis-sdk", "Module `cis`, the names of the guest SDK. Codes: 0 ok, -1 not initialised, -2 "
                "invalid input, -3 host, -4 AI, -5 memory, -6 network, -7 serialisation, -8 "
                "permission denied, -9 not found, -10 internal, -99 other."},
    {"env-plain", "Module `env`, plain names. `out` is 8 bytes {u32 ptr, u32 len}, little endian, "
                  "that the host fills."},
    {"cis-agent",
     "Module `cis`. Questions to the person, and progress ([ask.md](ask.md)). Programs "
     "may import it beside WASI."},
    {"cis-io", "Module `cis`. Input and output of any size in chunks, beside any other ABI."},
};

static const char *about_of(const char *abi)
{
    for (size_t i = 0; i < sizeof about / sizeof *about; i++) {
        if (strcmp(about[i].abi, abi) == 0) {
            return about[i].text;
        }
    }
    return "WASI 0.1 as far as a skill needs it.";
}

static const char *grant_of(const struct cis_hostfn *row)
{
    return row->grant == CIS_GRANT_NONE ? "none" : cis_grant_name((enum cis_grant)row->grant);
}

/* Table cells: a bar would end the cell. */
static void cell(struct cis_buf *out, const char *text)
{
    for (const char *p = text; *p != 0; p++) {
        cis_buf_text(out, *p == '|' ? "\\" : "");
        cis_buf_byte(out, (uint8_t)*p);
    }
}

static void table(const struct cis_hostfn_table *t, struct cis_buf *out)
{
    cis_buf_printf(out, "\n## %s\n\n%s\n\n", t->abi, about_of(t->abi));
    cis_buf_text(out, "| function | type | needs | if refused | what it does |\n"
                      "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < t->nrows; i++) {
        const struct cis_hostfn *row = &t->rows[i];
        cis_buf_printf(out, "| `%s.%s(%s)` | `", row->module, row->name,
                       row->params != NULL ? row->params : "");
        cis_abi_type_text(row->type, out);
        cis_buf_printf(out, "` | %s | ", grant_of(row));
        if (row->ends_when_denied) {
            cis_buf_text(out, "the run ends");
        } else if (row->grant == CIS_GRANT_NONE) {
            cis_buf_text(out, "–");
        } else {
            cis_buf_printf(out, "%lld", (long long)row->denied);
        }
        cis_buf_text(out, " | ");
        cell(out, row->doc != NULL ? row->doc : "");
        cis_buf_text(out, " |\n");
    }
}

static void interfaces(const struct cis_iface_table *t, struct cis_buf *out)
{
    cis_buf_printf(out, "\n## %s@%s (components)\n\n%s\n\n", t->abi, t->version, component);
    cis_buf_text(out, "| function | type | needs | what it does |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < t->nrows; i++) {
        const struct cis_ifacefn *row = &t->rows[i];
        /* The error is the same everywhere. */
        const char *error = strstr(row->type, CIS_IFACE_ERROR);
        int len = error != NULL ? (int)(error - row->type) : (int)strlen(row->type);
        cis_buf_printf(out, "| `%s.%s(%s)` | `%.*s%s` | %s | ", row->interface, row->name,
                       row->params, len, row->type, error != NULL ? "error>" : "",
                       row->grant == CIS_GRANT_NONE ? "none"
                                                    : cis_grant_name((enum cis_grant)row->grant));
        cell(out, row->doc);
        cis_buf_text(out, " |\n");
    }
}

static const char *const head =
    "# Guest ABI reference\n\n"
    "<!-- Written by `gen_abi` from the tables in src/skillabi; a test compares. -->\n\n"
    "A module may use any of the ABIs below, even several. A function is chosen by (module, name, "
    "type), never by name alone; `cis inspect` shows the choice and `--abi NAME` (or `abi =` in "
    "the manifest) overrides it where names collide. A refused call does not end the run (unless "
    "said so): it returns the value in the table and is counted in the report.\n\n"
    "## Entry points\n\n"
    "`_initialize` (once), then `skill_init()` first and `skill_shutdown()` last when exported. In "
    "between the first of these that is exported, or the export named by `--method`:\n\n"
    "| export | input | answer |\n"
    "| --- | --- | --- |\n"
    "| `skill_on_event(event, elen, data, dlen) -> i32` | event `run` (or `--event`), data is the "
    "input | a code |\n"
    "| `skill_handle_event(ptr, len) -> i32` | "
    "`{\"type\":\"Custom\",\"data\":{\"name\":\"run\",\"data\":INPUT}}`; `--event NAME` replaces "
    "the name, and `Init`, `Shutdown`, `Tick`, `MemoryChange`, `AgentCall` are events of their "
    "own | a code |\n"
    "| `skill_execute(ptr, len) -> i32` | the input | JSON text or a code |\n"
    "| `execute(ptr) -> ptr` | NUL-terminated input | NUL-terminated JSON; then `dealloc(ptr, "
    "len)` of the input |\n"
    "| `main() -> i32` | – | JSON text or a number |\n"
    "| `_start()` | stdin | stdout, exit code |\n"
    "| `skill_init() -> i32` alone | – | a code |\n\n"
    "Other exports named `skill_*` take text: `(ptr, len)`, NUL-terminated `(ptr)`, or nothing; a "
    "count >= 0 is success. Every other export takes numbers: `--method add --input '[1,1]'` "
    "prints 2. `--convention text|numbers` overrides.\n\n"
    "A value below 4096 is a number; a larger one is JSON if a NUL-terminated JSON text starts "
    "there, else a number. Bytes given to `cis.output_write` are the output, whatever the entry "
    "point returns. A code becomes `{\"success\":true,\"code\":0,\"skill\":\"NAME\"}`.\n\n"
    "Memory for the host's data comes from `malloc`, `alloc`, `cabi_realloc` or "
    "`__wbindgen_malloc`, whichever is exported, else from pages added to the memory. (Go and "
    "AssemblyScript take added pages for their own heap: export an allocator there, or read with "
    "`cis.input_read`.)\n";

static void page_text(struct cis_buf *out)
{
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    cis_buf_text(out, head);
    for (size_t i = 0; i < n; i++) {
        table(tables[i], out);
    }
    const struct cis_iface_table *const *components = cis_skillabi_interfaces(&n);
    for (size_t i = 0; i < n; i++) {
        interfaces(components[i], out);
    }
}

int main(void)
{
    struct cis_buf page = CIS_BUF_INIT(1u << 20);
    struct cis_error err;
    page_text(&page);
    if (cis_buf_check(&page, "abi.md", &err) != CIS_OK) {
        fprintf(stderr, "gen_abi: %s\n", err.msg);
        return 1;
    }
    fwrite(page.ptr, 1, page.len, stdout);
    cis_buf_done(&page);
    return fflush(stdout) != 0;
}
