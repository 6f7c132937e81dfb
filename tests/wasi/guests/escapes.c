/* Nothing leads out of the directory that a descriptor stands for: absolute paths, "..", links to
 * either, with every ending. The first argument is a file of the host that must not be reached;
 * links to it are in the mount already where the mount is a folder of the host. */
#include "raw.h"

static const char *secret = "/etc/passwd";
static char up_secret[4096];

/* Every function that takes a path, on one that leads out: all are refused in the same way. */
static void everywhere(int wanted, const char *path, uint32_t len)
{
    uint32_t dir = (uint32_t)here, out;
    struct raw_filestat st;
    char buf[16];
    static const uint32_t oflags[] = {0, O_R_CREAT, O_R_DIRECTORY, O_R_CREAT | O_R_EXCL, O_R_TRUNC};
    for (size_t i = 0; i < COUNT(oflags); i++) {
        ANSWERS(wanted, raw_path_open(dir, FOLLOW, path, len, oflags[i], R_FILE, 0, 0, &out));
    }
    ANSWERS(wanted, raw_path_open(dir, 0, path, len, O_R_CREAT, R_FILE, 0, 0, &out));
    ANSWERS(wanted, raw_path_filestat_get(dir, FOLLOW, path, len, &st));
    ANSWERS(wanted, raw_path_filestat_get(dir, 0, path, len, &st));
    ANSWERS(wanted, raw_path_filestat_set_times(dir, FOLLOW, path, len, 0, 0, TIME_A | TIME_M));
    ANSWERS(wanted, raw_path_filestat_set_times(dir, 0, path, len, 0, 0, TIME_A | TIME_M));
    ANSWERS(wanted, raw_path_create_directory(dir, path, len));
    ANSWERS(wanted, raw_path_unlink_file(dir, path, len));
    ANSWERS(wanted, raw_path_remove_directory(dir, path, len));
    ANSWERS(wanted, raw_path_symlink("x", 1, dir, path, len));
    ANSWERS(wanted, raw_path_readlink(dir, path, len, buf, sizeof buf, &out));
    ANSWERS(wanted, raw_path_rename(dir, path, len, dir, "b", 1));
    ANSWERS(wanted, raw_path_rename(dir, "file", 4, dir, path, len));
    ANSWERS(wanted, raw_path_link(dir, 0, path, len, dir, "b", 1));
    ANSWERS(wanted, raw_path_link(dir, FOLLOW, path, len, dir, "b", 1));
    ANSWERS(wanted, raw_path_link(dir, 0, "file", 4, dir, path, len));
}

static void absolute_paths_are_refused_everywhere(void)
{
    static const char *const paths[] = {"/etc/passwd", "/w/file", "//etc//passwd", "/x", "/../x"};
    put(here, "file", "x");
    for (size_t i = 0; i < COUNT(paths); i++) {
        everywhere(EPERM, TEXT(paths[i]));
    }
    everywhere(EPERM, TEXT(secret));
}

static void going_up_is_refused_everywhere(void)
{
    static const char *const paths[] = {"../x",           "d/../../x",    "./../x",
                                        "d/e/../../../x", "d//..//..//x", "../../../../etc/passwd"};
    put(here, "file", "x");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(mkdirat(here, "d/e", 0755));
    for (size_t i = 0; i < COUNT(paths); i++) {
        everywhere(EPERM, TEXT(paths[i]));
    }
    everywhere(EPERM, TEXT(up_secret));
    HAS(here, "file", "x");
}

static void the_directory_above_is_not_seen(void)
{
    uint32_t out;
    struct raw_filestat st;
    static const char *const up[] = {"..", "../", "../.", "d/../..", "d/../../", "../.."};
    WORKS(mkdirat(here, "d", 0755));
    for (size_t i = 0; i < COUNT(up); i++) {
        ANSWERS(EPERM, raw_open((uint32_t)here, up[i], 0, R_READ, 0, &out));
        ANSWERS(EPERM, raw_open((uint32_t)here, up[i], O_R_DIRECTORY, 0, 0, &out));
        ANSWERS(EPERM, raw_stat((uint32_t)here, 0, up[i], &st));
        ANSWERS(EPERM, raw_stat((uint32_t)here, FOLLOW, up[i], &st));
        ANSWERS(EPERM, raw_rmdir((uint32_t)here, up[i]));
    }
    uint32_t top = (uint32_t)preopen("/w");
    ANSWERS(EPERM, raw_open(top, "..", O_R_DIRECTORY, 0, 0, &out));
    ANSWERS(EPERM, raw_stat(top, 0, "..", &st));
}

static void nothing_leaves_through_links(void)
{
    static const char *const targets[] = {"/",     "/etc/passwd", "/w",           "..",      "../",
                                          "../..", "../../x",     "/../etc",      "d/../..", "./..",
                                          "//etc", "../w",        "d/up/../../.."};
    static const char *const ends[] = {"", "/", "//", "/.", "/..", "/x", "/../x", "/etc/passwd"};
    struct raw_filestat st;
    uint32_t out;
    char path[64];
    WORKS(mkdirat(here, "d", 0755));
    put(here, "file", "x");
    for (size_t i = 0; i < COUNT(targets); i++) {
        if (targets[i][0] == '/') {
            ANSWERS(EPERM, raw_symlink(targets[i], (uint32_t)here, "link"));
            continue;
        }
        ANSWERS(0, raw_symlink(targets[i], (uint32_t)here, "link"));
        ANSWERS(0, raw_stat((uint32_t)here, 0, "link", &st));
        IS(st.filetype, T_LINK);
        ANSWERS(0, raw_readlink((uint32_t)here, "link"));
        bool up = strcmp(targets[i], "d/up/../../..") == 0; /* d/up is not there */
        for (size_t k = 0; k < COUNT(ends); k++) {
            int wanted = up ? ENOENT : EPERM;
            snprintf(path, sizeof path, "link%s", ends[k]);
            ANSWERS(wanted, raw_stat((uint32_t)here, FOLLOW, path, &st));
            ANSWERS(wanted, raw_open((uint32_t)here, path, 0, R_READ, 0, &out));
            ANSWERS(wanted, raw_open((uint32_t)here, path, O_R_DIRECTORY, 0, 0, &out));
            ANSWERS(wanted, raw_times((uint32_t)here, FOLLOW, path, 0, 0, TIME_M));
            if (k > 0) { /* the link itself is not meant */
                uint32_t no = raw_unlink((uint32_t)here, path);
                HOLDS(no == (uint32_t)wanted || no == ENOTDIR || no == EISDIR);
                no = raw_rename((uint32_t)here, path, (uint32_t)here, "moved");
                HOLDS(no == (uint32_t)wanted || no == ENOTDIR || no == EBUSY);
                no = raw_link((uint32_t)here, 0, "file", (uint32_t)here, path);
                HOLDS(no == (uint32_t)wanted || no == EEXIST || no == ENOTDIR);
                no = raw_mkdir((uint32_t)here, path);
                HOLDS(no == (uint32_t)wanted || no == EEXIST || no == ENOTDIR);
            }
        }
        if (!up) {
            ANSWERS(EPERM, raw_link((uint32_t)here, FOLLOW, "link", (uint32_t)here, "hard"));
        }
        ANSWERS(0, raw_unlink((uint32_t)here, "link"));
    }
    HAS(here, "file", "x");
}

static void links_of_the_host_lead_nowhere_either(void)
{
    /* The suite put these into folders of the host; elsewhere they are not there. */
    static const char *const links[] = {"out_absolute", "out_relative", "out_dir/secret"};
    int found = 0;
    for (size_t i = 0; i < COUNT(links); i++) {
        uint32_t out;
        uint32_t no = raw_open((uint32_t)base, links[i], 0, R_READ, 0, &out);
        HOLDS(no == EPERM || no == ENOENT);
        found += no == EPERM;
    }
    HOLDS(found == 0 || found == 3);
}

static void renaming_a_link_with_slashes_moves_nothing_outside(void)
{
    static const char *const ends[] = {"/", "//", "/.", "/..", "/secret"};
    char path[64];
    WORKS(mkdirat(here, "d", 0755));
    put(here, "d/f", "x");
    ANSWERS(0, raw_symlink(up_secret, (uint32_t)here, "out"));
    ANSWERS(EPERM, raw_symlink(secret, (uint32_t)here, "abs"));
    for (size_t i = 0; i < COUNT(ends); i++) {
        snprintf(path, sizeof path, "out%s", ends[i]);
        HOLDS(raw_rename((uint32_t)here, "d", (uint32_t)here, path) != 0);
        HOLDS(raw_rename((uint32_t)here, "d/f", (uint32_t)here, path) != 0);
        HOLDS(raw_rename((uint32_t)here, path, (uint32_t)here, "moved") != 0);
        HOLDS(raw_link((uint32_t)here, FOLLOW, path, (uint32_t)here, "linked") != 0);
        HOLDS(raw_unlink((uint32_t)here, path) != 0);
        HOLDS(raw_rmdir((uint32_t)here, path) != 0);
        HOLDS(raw_mkdir((uint32_t)here, path) != 0);
    }
    HAS(here, "d/f", "x");
}

static void a_nul_in_a_path_is_refused_everywhere(void)
{
    put(here, "file", "x");
    everywhere(EINVAL, "a\0b", 3);
    everywhere(EINVAL, "\0", 1);
    everywhere(EINVAL, "file\0", 5);
    everywhere(EINVAL, "file\0/../../etc", 15);
    ANSWERS(EINVAL, raw_path_symlink("a\0b", 3, (uint32_t)here, "link", 4));
    ANSWERS(ENOENT, raw_path_symlink("", 0, (uint32_t)here, "link", 4));
    HAS(here, "file", "x");
    HAS(here, "a", "(ENOENT)");
}

static void an_empty_path_is_refused_everywhere(void)
{
    put(here, "file", "x");
    everywhere(ENOENT, "", 0);
}

static void a_descriptor_of_another_mount_does_not_help(void)
{
    uint32_t dir, out;
    struct raw_filestat st;
    WORKS(mkdirat(here, "d", 0755));
    put(here, "file", "x");
    ANSWERS(0, raw_open((uint32_t)here, "d", O_R_DIRECTORY, 0, 0, &dir));
    ANSWERS(EPERM, raw_open(dir, "../file", 0, R_READ, 0, &out));
    ANSWERS(EPERM, raw_stat(dir, 0, "../file", &st));
    ANSWERS(EPERM, raw_rename(dir, "../file", dir, "file"));
    ANSWERS(EPERM, raw_link(dir, 0, "../file", dir, "file"));
    ANSWERS(0, raw_symlink("../file", dir, "link"));
    ANSWERS(EPERM, raw_open(dir, "link", 0, R_READ, 0, &out));
    HAS(here, "d/link", "x");
    ANSWERS(0, raw_fd_close(dir));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(absolute_paths_are_refused_everywhere),
        CASE(going_up_is_refused_everywhere),
        CASE(the_directory_above_is_not_seen),
        CASE(nothing_leaves_through_links),
        CASE(links_of_the_host_lead_nowhere_either),
        CASE(renaming_a_link_with_slashes_moves_nothing_outside),
        CASE(a_nul_in_a_path_is_refused_everywhere),
        CASE(an_empty_path_is_refused_everywhere),
        CASE(a_descriptor_of_another_mount_does_not_help),
    };
    if (argc > 1) {
        secret = argv[1];
    }
    snprintf(up_secret, sizeof up_secret, "../../../../../../../../..%s", secret);
    return check_main(cases, COUNT(cases), true, NULL);
}
