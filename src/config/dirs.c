/* Folders: $CIS_HOME, or the XDG base directories. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "config/internal.h"

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "configuration: out of memory");
}

static const char *set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != 0 ? value : NULL;
}

cis_code cis_config_absolute(const char *path, char **out, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *result = NULL;
    if (path[0] == '/') {
        result = cis_strdup(path);
    } else {
        char here[4096];
        if (getcwd(here, sizeof here) == NULL) {
            return cis_fail_sys(err, CIS_E_IO, errno, "current folder");
        }
        result = cis_path_join(here, path);
    }
    if (result == NULL) {
        return no_memory(err);
    }
    *out = cis_take(&result);
    return CIS_OK;
}

static cis_code user_home(char **out, struct cis_error *err)
{
    const char *home = set("HOME");
    struct passwd entry, *found = NULL;
    char text[4096];
    if (home == NULL && getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 &&
        found != NULL) {
        home = found->pw_dir;
    }
    if (home == NULL || home[0] != '/') {
        return cis_fail(err, CIS_E_USAGE, "no home folder: set HOME or CIS_HOME");
    }
    *out = cis_strdup(home);
    return *out != NULL ? CIS_OK : no_memory(err);
}

/* The standard says to ignore a relative path. */
static cis_code xdg(struct cis_config *c, size_t origin, const char *variable, const char *fallback,
                    char **out, struct cis_error *err)
{
    const char *base = set(variable);
    CIS_CLEANUP(cis_freep) char *home = NULL, *below = NULL;
    if (base != NULL && base[0] == '/') {
        cis_origin_set(c, origin, "environment %s", variable);
    } else {
        CIS_TRY(user_home(&home, err));
        below = cis_path_join(home, fallback);
        base = below;
        cis_origin_set(c, origin, "default");
    }
    *out = base != NULL ? cis_path_join(base, "cis") : NULL;
    return *out != NULL ? cis_file_is_own(*out, err) : no_memory(err);
}

static cis_code below_home(struct cis_config *c, const char *home, const char *origin,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *base = NULL;
    CIS_TRY(cis_config_absolute(home, &base, err));
    CIS_TRY(cis_file_is_own(base, err)); /* whoever may, puts other folders in the place of ours */
    c->data_dir = cis_path_join(base, "data");
    c->cache_dir = cis_path_join(base, "cache");
    c->config_dir = cis_path_join(base, "config");
    for (size_t i = CIS_ORIGIN_DATA; i <= CIS_ORIGIN_CONFIG; i++) {
        cis_origin_set(c, i, "%s", origin);
    }
    bool whole = c->data_dir != NULL && c->cache_dir != NULL && c->config_dir != NULL;
    return whole ? CIS_OK : no_memory(err);
}

cis_code cis_config_dirs(const char *home, struct cis_config *config, struct cis_error *err)
{
    if (home != NULL && home[0] == 0) {
        return cis_fail(err, CIS_E_USAGE, "--home: an empty path");
    }
    if (home != NULL) {
        CIS_TRY(below_home(config, home, "flag --home", err));
    } else if (set("CIS_HOME") != NULL) {
        CIS_TRY(below_home(config, set("CIS_HOME"), "environment CIS_HOME", err));
    } else {
        CIS_TRY(
            xdg(config, CIS_ORIGIN_DATA, "XDG_DATA_HOME", ".local/share", &config->data_dir, err));
        CIS_TRY(xdg(config, CIS_ORIGIN_CACHE, "XDG_CACHE_HOME", ".cache", &config->cache_dir, err));
        CIS_TRY(
            xdg(config, CIS_ORIGIN_CONFIG, "XDG_CONFIG_HOME", ".config", &config->config_dir, err));
    }
    config->file = cis_path_join(config->config_dir, "config.toml");
    return config->file != NULL ? CIS_OK : no_memory(err);
}
