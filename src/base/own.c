/* Who can decide what a file holds: its owner, and those whom its permissions let write. */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"

/* Of one entry of a user or group: a group may have many members. */
#define TEXT_MAX (1u << 20)
/* Users that are looked through, and for how long: a directory service may have many, or be slow.
 * Behind that the group is none of one's own. */
#define USERS_MAX (1u << 16)
#define USERS_NS (2 * CIS_NS_PER_S)

/* The list of all users is read by one thread at a time: the C library has one place in it. */
CIS_LOCK_CLASS(own_lock_users);
static pthread_mutex_t users = PTHREAD_MUTEX_INITIALIZER;

struct owner {
    char name[256];
    gid_t gid;
    bool known, listed; /* listed: found again among all users */
};

static void owner_load(struct owner *o, uid_t uid, char *text)
{
    struct passwd entry, *found = NULL;
    *o = (struct owner){.known = false};
    if (getpwuid_r(uid, &entry, text, TEXT_MAX, &found) == 0 && found != NULL &&
        strlen(entry.pw_name) < sizeof o->name) {
        memcpy(o->name, entry.pw_name, strlen(entry.pw_name) + 1);
        o->gid = entry.pw_gid;
        o->known = true;
    }
}

/* Nobody else has it as the own group. */
static bool nobody_elses(gid_t gid, uid_t uid, struct owner *owner, char *text)
{
    struct passwd entry, *found = NULL;
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), USERS_NS);
    bool alone = true;
    unsigned n = 0;
    cis_mutex_lock(&users, own_lock_users);
    setpwent();
    while (alone && n++ < USERS_MAX && getpwent_r(&entry, text, TEXT_MAX, &found) == 0 &&
           found != NULL) {
        owner->listed = owner->listed || entry.pw_uid == uid;
        alone = (entry.pw_gid != gid || entry.pw_uid == uid || entry.pw_uid == 0) &&
                cis_clock_mono_ns() < until;
    }
    endpwent();
    cis_mutex_unlock(&users, own_lock_users);
    return alone && n < USERS_MAX;
}

/* Is it the user's private group, as most systems give each user one: the user's own, without other
 * members, and no other user's own? Root may be in it, who can write anyway. Where not all users
 * can be listed (a directory of many), such a group is known by having its user's name. */
static bool group_is_private(gid_t gid, uid_t uid)
{
    struct group entry, *found = NULL;
    struct owner owner;
    char *text = cis_alloc(TEXT_MAX);
    bool alone = text != NULL;
    if (alone) {
        owner_load(&owner, uid, text);
        alone = owner.known && owner.gid == gid && nobody_elses(gid, uid, &owner, text);
    }
    if (alone) {
        int rc = getgrgid_r(gid, &entry, text, TEXT_MAX, &found);
        alone = rc == 0 && (found != NULL || owner.listed);
        for (char **m = found != NULL ? entry.gr_mem : NULL; alone && m != NULL && *m != NULL;
             m++) {
            alone = strcmp(*m, owner.name) == 0 || strcmp(*m, "root") == 0;
        }
        alone = alone && (owner.listed || strcmp(entry.gr_name, owner.name) == 0);
    }
    cis_free(text);
    return alone;
}

/* With an access list the group's bits are its mask, the most that any other user or group has, and
 * the group's own are within it. */
static bool has_list(const char *path)
{
    return getxattr(path, "system.posix_acl_access", NULL, 0) > 0;
}

cis_code cis_file_is_own(const char *path, struct cis_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? CIS_OK
                                                   : cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_INVALID, "%s: not a regular file", path);
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "%s: belongs to another user (uid %u), who could change it at any time",
                        path, (unsigned)st.st_uid);
    }
    bool shared = S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0;
    if ((st.st_mode & S_IWOTH) != 0 && !shared) {
        return cis_fail(err, CIS_E_DENIED, "%s: anybody may write to it (chmod o-w)", path);
    }
    if ((st.st_mode & S_IWGRP) != 0 && !shared &&
        (has_list(path) ||
         (!group_is_private(st.st_gid, geteuid()) && !group_is_private(st.st_gid, 0)))) {
        return cis_fail(err, CIS_E_DENIED,
                        "%s: others of group %u, or of its access list, may write to it (chmod "
                        "g-w)",
                        path, (unsigned)st.st_gid);
    }
    return CIS_OK;
}
