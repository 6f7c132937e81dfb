/* Whose files are believed: with users and groups of our own making. */
#include "harness.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"

static struct {
    struct passwd users[4];
    size_t nusers, at;
    const char *group; /* name of every group; NULL: there is none */
    const char *members[4];
    bool unlisted;    /* users are found, but not listed */
    bool endless;     /* there is always one more user */
    unsigned slow_ms; /* that each takes */
    unsigned long asked;
    uid_t me; /* 0: whoever runs this */
} world;

int __wrap_getpwuid_r(uid_t uid, struct passwd *out, char *text, size_t n, struct passwd **found);
int __wrap_getpwent_r(struct passwd *out, char *text, size_t n, struct passwd **found);
int __wrap_getgrgid_r(gid_t gid, struct group *out, char *text, size_t n, struct group **found);
void __wrap_setpwent(void);
void __wrap_endpwent(void);
uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);

int __wrap_getpwuid_r(uid_t uid, struct passwd *out, char *text, size_t n, struct passwd **found)
{
    (void)text;
    (void)n;
    *found = NULL;
    for (size_t i = 0; i < world.nusers && *found == NULL; i++) {
        if (world.users[i].pw_uid == uid) {
            *out = world.users[i];
            *found = out;
        }
    }
    return 0;
}

int __wrap_getpwent_r(struct passwd *out, char *text, size_t n, struct passwd **found)
{
    (void)text;
    (void)n;
    *found = NULL;
    world.asked++;
    if (world.slow_ms != 0) {
        usleep(world.slow_ms * 1000);
    }
    if (world.endless) {
        *out = world.users[1];
        *found = out;
        return 0;
    }
    if (world.unlisted || world.at == world.nusers) {
        return ENOENT;
    }
    *out = world.users[world.at++];
    *found = out;
    return 0;
}

int __wrap_getgrgid_r(gid_t gid, struct group *out, char *text, size_t n, struct group **found)
{
    (void)text;
    (void)n;
    *found = NULL;
    if (world.group != NULL) {
        *out = (struct group){.gr_name = (char *)(uintptr_t)world.group,
                              .gr_gid = gid,
                              .gr_mem = (char **)(uintptr_t)world.members};
        *found = out;
    }
    return 0;
}

void __wrap_setpwent(void)
{
    world.at = 0;
}

void __wrap_endpwent(void)
{
}

uid_t __wrap_geteuid(void)
{
    return world.me != 0 ? world.me : __real_geteuid();
}

static struct passwd user(const char *name, uid_t uid, gid_t gid)
{
    return (struct passwd){.pw_name = (char *)(uintptr_t)name, .pw_uid = uid, .pw_gid = gid};
}

static cis_code check(unsigned mode, struct cis_error *why)
{
    char *dir = test_dir_new();
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(chmod(dir, mode), 0);
    cis_code code = cis_file_is_own(dir, why);
    assert_int_equal(chmod(dir, 0700), 0);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
    return code;
}

/* As most systems are: each user has a group alone. */
static void alone(void)
{
    memset(&world, 0, sizeof world);
    world.users[0] = user("me", geteuid(), getegid());
    world.users[1] = user("other", 4711, 4711);
    world.nusers = 2;
    world.group = "me";
}

static void what_a_private_group_may_write_is_own(void **state)
{
    (void)state;
    alone();
    assert_ok(check(0775, err));
    world.members[0] = "me";
    world.members[1] = "root";
    assert_ok(check(0770, err));
    world.group = NULL; /* no entry of it: so nobody is in it */
    assert_ok(check(0770, err));
    world.group = "me"; /* a directory that does not list its users */
    world.members[0] = NULL;
    world.unlisted = true;
    assert_ok(check(0770, err));
}

static void users_without_end_are_not_looked_through(void **state)
{
    struct cis_error why;
    (void)state;
    alone();
    world.endless = true;
    assert_int_equal(check(0770, &why), CIS_E_DENIED);
    assert_true(world.asked < 200000);
    alone();
    world.endless = true;
    world.slow_ms = 100;
    assert_int_equal(check(0770, &why), CIS_E_DENIED);
    assert_true(world.asked < 100);
}

static void what_a_group_of_others_may_write_is_refused(void **state)
{
    struct cis_error why;
    (void)state;
    alone();
    world.members[0] = "other";
    assert_int_equal(check(0775, &why), CIS_E_DENIED);
    assert_non_null(strstr(why.msg, "chmod g-w"));
    alone();
    world.users[1].pw_gid = getegid(); /* "users", the own group of all */
    assert_int_equal(check(0770, &why), CIS_E_DENIED);
    assert_ok(check(0750, err));
    assert_ok(check(01770, err)); /* nobody replaces there what is another's */
    alone();
    world.users[0].pw_gid = 4712; /* a group that is not one's own: it has others, now or later */
    assert_int_equal(check(0770, &why), CIS_E_DENIED);
    alone();
    world.nusers = 0;
    assert_int_equal(check(0770, &why), CIS_E_DENIED);
    alone();
    world.unlisted = true;
    world.group = "users";
    assert_int_equal(check(0770, &why), CIS_E_DENIED);
}

/* A file of root's in root's private group is nobody else's either, whoever asks. */
static void what_the_group_of_root_may_write_is_roots(void **state)
{
    struct cis_error why;
    (void)state;
    if (geteuid() != 0 || getegid() != 0) {
        print_message("needs root\n");
        return;
    }
    alone();
    world.me = 4711;
    assert_ok(check(0775, err));
    world.members[0] = "other"; /* who asks, but others may be in it tomorrow */
    assert_int_equal(check(0775, &why), CIS_E_DENIED);
    world.members[0] = NULL;
    world.users[world.nusers++] = user("third", 4712, 0);
    assert_int_equal(check(0775, &why), CIS_E_DENIED);
}

/* user::rwx, user:4711:rwx, group::---, mask::rwx, other::--- */
static void an_access_list_is_no_private_group(void **state)
{
    static const uint32_t entries[][3] = {{1, 7, UINT32_MAX},
                                          {2, 7, 4711},
                                          {4, 0, UINT32_MAX},
                                          {16, 7, UINT32_MAX},
                                          {32, 0, UINT32_MAX}};
    uint8_t list[4 + 5 * 8] = {2};
    struct cis_error why;
    (void)state;
    alone();
    for (size_t i = 0; i < 5; i++) {
        uint8_t *at = list + 4 + 8 * i;
        at[0] = (uint8_t)entries[i][0];
        at[2] = (uint8_t)entries[i][1];
        for (int k = 0; k < 4; k++) {
            at[4 + k] = (uint8_t)(entries[i][2] >> (8 * k));
        }
    }
    char *dir = test_dir_new();
    if (setxattr(dir, "system.posix_acl_access", list, sizeof list, 0) == 0) {
        assert_int_equal(cis_file_is_own(dir, &why), CIS_E_DENIED);
        assert_non_null(strstr(why.msg, "access list"));
        assert_int_equal(chmod(dir, 0700), 0); /* what the message says */
        assert_ok(cis_file_is_own(dir, err));
    } else {
        print_message("no access lists here\n");
    }
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_private_group_may_write_is_own),
        cmocka_unit_test(users_without_end_are_not_looked_through),
        cmocka_unit_test(what_a_group_of_others_may_write_is_refused),
        cmocka_unit_test(what_the_group_of_root_may_write_is_roots),
        cmocka_unit_test(an_access_list_is_no_private_group),
    };
    return cmocka_run_group_tests_name("own", tests, NULL, NULL);
}
