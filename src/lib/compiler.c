/* The program `cis` that was installed with this library: what compiles modules when a config names
 * no compiler. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "lib/internal.h"

/* The folder of the file that this code is in: of the shared library, or of a program that has it
 * inside. */
static bool own_folder(char dir[PATH_MAX])
{
    Dl_info info = {0};
    const char *path = "/proc/self/exe";
    if (dladdr((const void *)(uintptr_t)cis_lib_compiler_find, &info) != 0 &&
        info.dli_fname != NULL && info.dli_fname[0] == '/') {
        path = info.dli_fname;
    }
    char *slash = realpath(path, dir) != NULL ? strrchr(dir, '/') : NULL;
    if (slash != NULL) {
        *slash = 0;
    }
    return slash != NULL;
}

/* Somebody else's file is not run, as it would see every module. */
static bool usable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH) == 0 &&
           (st.st_uid == 0 || st.st_uid == geteuid()) && access(path, X_OK) == 0;
}

cis_code cis_lib_compiler_find(char **out_path, struct cis_error *err)
{
    /* From lib/, from lib/TRIPLET/, and from a program beside or above it. */
    static const char *const places[] = {"/../bin/cis", "/../../bin/cis", "/cis", "/bin/cis"};
    char own[PATH_MAX];
    if (!own_folder(own)) {
        return cis_fail(
            err, CIS_E_USAGE,
            "where libcis is installed is not known: set config.compiler to the path of "
            "the program cis");
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[PATH_MAX + 32];
        snprintf(path, sizeof path, "%s%s", own, places[i]);
        if (usable(path)) {
            char *copy = cis_strdup(path);
            if (copy == NULL) {
                return cis_fail(err, CIS_E_NOMEM, "runtime: out of memory");
            }
            *out_path = copy;
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_USAGE,
                    "no program cis beside %.120s: set config.compiler to its path, or "
                    "compile_in_process for modules that you trust",
                    own);
}
