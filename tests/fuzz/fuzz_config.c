/* Any bytes as config.toml: an error with a reason, or settings that can all be told. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static char home[64], file[256];

static void clean_up(void)
{
    (void)!(cis_file_remove_tree(home, NULL) == CIS_OK);
}

static void make_home(void)
{
    char dir[128];
    snprintf(home, sizeof home, "/tmp/cis-fuzz-XXXXXX");
    require(mkdtemp(home) != NULL);
    snprintf(dir, sizeof dir, "%s/config", home);
    require(mkdir(dir, 0700) == 0);
    snprintf(file, sizeof file, "%s/config.toml", dir);
    atexit(clean_up);
}

static void each(void *self, const char *name, const char *value, const char *origin)
{
    require(name[0] != 0 && value != NULL && origin[0] != 0);
    ++*(unsigned *)self;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (home[0] == 0) {
        make_home();
    }
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && cis_fd_write_all(fd, data, size) == 0);
    close(fd);
    const struct cis_config_flags flags = {.home = home};
    struct cis_config *config = NULL;
    struct cis_error err = {0};
    if (cis_config_load(&flags, &config, &err) != CIS_OK) {
        require(err.code != CIS_OK && err.code != CIS_E_INTERNAL && err.msg[0] != 0);
        return 0;
    }
    unsigned n = 0;
    cis_config_each(config, &n, each);
    require(n > 10 && config->time_ns != 0 && config->cache_max != 0);
    cis_config_free(config);
    return 0;
}
