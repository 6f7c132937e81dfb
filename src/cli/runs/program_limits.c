/* What a program may use: --memory, --time, --fuel, --files, --sockets, and the ceilings that are
 * configured. */
#include "base/clock.h"
#include "cli/runs/program.h"
#include "config/config.h"

/* [runtime] has ceilings with defaults that are meant for skills: of a program they count once
 * somebody has set them. */
struct ceilings {
    bool memory, time;
};

static void see_setting(void *self, const char *name, const char *value, const char *origin)
{
    struct ceilings *c = self;
    (void)value;
    bool set = strcmp(origin, "default") != 0;
    c->memory |= set && strcmp(name, "runtime.max_memory") == 0;
    c->time |= set && strcmp(name, "runtime.max_execution_time") == 0;
}

cis_code cis_program_limits(const struct cis_cli *cli, const struct cis_config *c,
                            struct cis_run_request *r, struct cis_error *err)
{
    struct ceilings most = {false, false};
    cis_config_each(c, &most, see_setting);
    uint64_t memory = c->max_memory, time_ns = CIS_NEVER, files = 0, sockets = 0;
    if (!cis_cli_size(cli, "memory", &memory) || !cis_cli_duration(cli, "time", &time_ns) ||
        !cis_cli_number(cli, "fuel", &r->limits.fuel) || !cis_cli_number(cli, "files", &files) ||
        !cis_cli_number(cli, "sockets", &sockets)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    if (memory == 0 || time_ns == 0 || files > UINT32_MAX || sockets > UINT32_MAX) {
        return cis_fail(
            err, CIS_E_USAGE,
            "--memory and --time must not be 0, --files and --sockets not above 4294967295");
    }
    r->limits.memory_bytes = most.memory && memory > c->max_memory ? c->max_memory : memory;
    r->time_ns =
        most.time && time_ns > c->max_execution_time_ns ? c->max_execution_time_ns : time_ns;
    r->limits.host_bytes = c->host_bytes;
    r->files_max = (uint32_t)files;
    r->sockets_max = (uint32_t)sockets;
    r->handles_max = c->handles;
    return CIS_OK;
}
