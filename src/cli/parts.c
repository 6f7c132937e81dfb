/* Parts of a composition from the command line; see parts.h. */
#include "cli/parts.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "skill/manifest.h"

#define LARGE (1 << 20)

cis_code cis_cli_parts_init(struct cis_cli_parts *p, size_t n, struct cis_error *err)
{
    *p = (struct cis_cli_parts){.room = n};
    size_t room = n != 0 ? n : 1;
    p->parts = cis_calloc(room, sizeof *p->parts);
    p->bytes = cis_calloc(room, sizeof *p->bytes);
    p->names = cis_calloc(room, sizeof *p->names);
    if (p->parts == NULL || p->bytes == NULL || p->names == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    return CIS_OK;
}

void cis_cli_parts_done(struct cis_cli_parts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        cis_buf_done(&p->bytes[i]);
        cis_free(p->names[i]);
        if (p->parts[i].file != 0) {
            close(p->parts[i].file);
        }
    }
    cis_free(p->parts);
    cis_free(p->bytes);
    cis_free(p->names);
    *p = (struct cis_cli_parts){0};
}

int cis_cli_count(const struct cis_cli *cli, const char *option)
{
    int n = 0;
    while (cis_cli_nth(cli, option, n) != NULL) {
        n++;
    }
    return n;
}

static cis_code add(struct cis_cli_parts *p, char *name, struct cis_error *err)
{
    if (name == NULL || p->n == p->room) {
        cis_free(name);
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    p->names[p->n] = name;
    p->bytes[p->n] = CIS_BUF_INIT(CIS_MODULE_MAX);
    p->parts[p->n].name = cis_str_of(name);
    p->n++;
    p->composition.parts = p->parts;
    p->composition.nparts = p->n;
    return CIS_OK;
}

/* Of this file, if it is one that is worth it. */
static bool left_open(struct cis_cli_parts *p, const char *path, struct cis_compose_part *part)
{
    struct stat st;
    if (!p->open || p->nopen == CIS_COMPOSE_FILES_MAX || stat(path, &st) != 0 ||
        !S_ISREG(st.st_mode)) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= LARGE &&
        (uint64_t)st.st_size <= CIS_MODULE_MAX) {
        part->file = fd;
        part->wasm.len = (size_t)st.st_size;
        p->nopen++;
        return true;
    }
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

cis_code cis_cli_parts_add(struct cis_cli_parts *p, const char *name, const char *path,
                           struct cis_error *err)
{
    CIS_TRY(add(p, name != NULL ? cis_strdup(name) : cis_compose_name_of(path), err));
    if (strcmp(path, "-") != 0 && left_open(p, path, &p->parts[p->n - 1])) {
        return CIS_OK;
    }
    struct cis_buf *bytes = &p->bytes[p->n - 1];
    CIS_TRY(cis_cli_read(strcmp(path, "-") == 0 ? NULL : path, bytes, err));
    p->parts[p->n - 1].wasm = cis_buf_bytes(bytes);
    return CIS_OK;
}

cis_code cis_cli_parts_give(struct cis_cli_parts *p, const char *path, struct cis_bytes wasm,
                            struct cis_error *err)
{
    CIS_TRY(add(p, cis_compose_name_of(path), err));
    p->parts[p->n - 1].wasm = wasm;
    return CIS_OK;
}

cis_code cis_cli_parts_plugs(struct cis_cli_parts *p, const struct cis_cli *cli,
                             struct cis_error *err)
{
    const char *path;
    for (int i = 0; (path = cis_cli_nth(cli, "plug", i)) != NULL; i++) {
        CIS_TRY(cis_cli_parts_add(p, NULL, path, err));
    }
    return CIS_OK;
}
