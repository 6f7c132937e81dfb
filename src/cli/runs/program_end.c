/* What `cis run` and `cis exec` say when the program is over. */
#include <unistd.h>
#include "base/file.h"
#include "cli/runs/program.h"

bool cis_program_tx(const char *word, enum cis_tx *out)
{
    static const struct {
        const char *word;
        enum cis_tx tx;
    } words[] = {{"always", CIS_TX_ALWAYS},
                 {"commit-on-success", CIS_TX_ON_SUCCESS},
                 {"discard", CIS_TX_DISCARD}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].word) == 0) {
            *out = words[i].tx;
            return true;
        }
    }
    return false;
}

int cis_program_end(const struct cis_cli *cli, const struct cis_program_end *end,
                    struct cis_bytes report, int exit)
{
    const char *file = cis_cli_value(cli, "report");
    struct cis_error why = {0};
    if (cis_str_starts(cis_str_of(end->branch), CIS_STR(CIS_CONFLICT_PREFIX))) {
        cis_cli_say(cli, end->label,
                    "its changes are kept as branch %s; `cis fs merge %s` merges them", end->branch,
                    end->branch);
    } else if (end->dropped) {
        cis_cli_say(cli, end->label, "its changes were discarded");
    } else if (end->folder && end->branch[0] != 0 && isatty(STDERR_FILENO)) {
        cis_cli_say(cli, end->label,
                    "the folder was not changed: `cis runs diff %s` shows the changes, `cis runs "
                    "apply %s` makes them",
                    end->id, end->id);
    }
    if (file == NULL || cis_file_put(file, report, 0600, &why) == CIS_OK) {
        return exit;
    }
    /* Whoever repeats the run because of its report is told what that means. */
    bool kept = end->branch[0] != 0;
    cis_cli_say(cli, end->label, "the report is not written: %s; the run is over%s%s", why.msg,
                kept ? ", and its changes are kept in branch " : "", kept ? end->branch : "");
    return exit == 0 ? cis_code_run_exit(why.code) : exit;
}
