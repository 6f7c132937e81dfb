/* Small files of the host: configuration, modules, keys. Bounded reads, atomic writes. */
#ifndef CIS_BASE_FILE_H
#define CIS_BASE_FILE_H

#include <stdbool.h>
#include "base/buf.h"

/* Whole regular file (or pipe) into buf; CIS_E_NOTFOUND, CIS_E_LIMIT over buf->max, CIS_E_IO. */
cis_code cis_file_read(const char *path, struct cis_buf *buf, struct cis_error *err);
/* CIS_E_DENIED when somebody else than this user and root can decide what a file or folder holds:
 * it is another user's, or anybody may write to it, or its group (of a folder: replace what is in
 * it; one with the sticky bit is as good as closed). The group may be the user's private one, or
 * root's. CIS_OK when it is not there. CIS_E_INVALID: it is neither a
 * regular file nor a folder; reading a pipe would wait for a writer. */
cis_code cis_file_is_own(const char *path, struct cis_error *err);
/* From a descriptor until its end. `name` is for messages. */
cis_code cis_file_read_fd(int fd, const char *name, struct cis_buf *buf, struct cis_error *err);
/* A file of the program's own: written to a temporary name in the same folder, fsynced, renamed,
 * whole or not at all. Whatever has the name goes, a symlink too: nothing is written through one
 * that somebody else laid there. A file that the user names is cis_file_put's. */
cis_code cis_file_write(const char *path, struct cis_bytes data, unsigned mode,
                        struct cis_error *err);
/* A file that the user names, written bit by bit, under a temporary name in its folder: until it is
 * done, what was there before stays as it is. Of a symlink the target is replaced. A path that
 * names something else than a regular file (a device, a pipe), or the file that stdout or stderr
 * goes to, is written to as it is. A file that was there keeps of its mode what `mode` has too.
 * done makes it durable; drop, which may follow it, closes, and forgets what is not done. */
struct cis_file_beside {
    int fd;
    char *path, *temp; /* temp NULL: written as it is */
};
#define CIS_FILE_BESIDE_INIT ((struct cis_file_beside){-1, NULL, NULL})
cis_code cis_file_beside_open(const char *path, unsigned mode, struct cis_file_beside *out,
                              struct cis_error *err);
cis_code cis_file_beside_done(struct cis_file_beside *file, struct cis_error *err);
/* The same for a path where nothing may be: CIS_E_EXISTS when there is something by now. */
cis_code cis_file_beside_done_new(struct cis_file_beside *file, struct cis_error *err);
void cis_file_beside_drop(struct cis_file_beside *file);
/* All of it at once, in the same way. */
cis_code cis_file_put(const char *path, struct cis_bytes data, unsigned mode,
                      struct cis_error *err);
/* Could it be written now? Nothing stays there, and no pipe is opened. */
cis_code cis_file_can_put(const char *path, struct cis_error *err);
/* Is it written to as it is? */
bool cis_file_as_it_is(const char *path);
/* What a path names behind its symlinks, whether it is there or not; caller frees. NULL with errno:
 * ELOOP, ENOMEM. */
char *cis_file_target(const char *path);
/* Like mkdir -p; every folder made gets mode. */
cis_code cis_file_mkdirs(const char *path, unsigned mode, struct cis_error *err);
/* The process's umask, as it was when this was first asked: to ask umask(2) is to change it for the
 * other threads. */
uint32_t cis_file_umask(void);
/* rm -rf that never follows a symlink. */
cis_code cis_file_remove_tree(const char *path, struct cis_error *err);
/* The same for a name in a folder that is open. */
cis_code cis_file_remove_tree_at(int dir, const char *name, struct cis_error *err);
bool cis_file_exists(const char *path);
/* Is one of two folders the other, or does it lie within it? Checked by the folders themselves, all
 * the way up, so that it does not matter by which path each was named. CIS_E_NOTFOUND,
 * CIS_E_DENIED, CIS_E_IO: one of them cannot be looked at. */
cis_code cis_folders_meet(const char *a, const char *b, bool *out_meet, struct cis_error *err);
/* Is the folder at path the other, or does it lie within it? Checked and failing as above. */
cis_code cis_folder_within(const char *path, const char *folder, bool *out_within,
                           struct cis_error *err);
/* "a/b": join; caller frees. NULL when out of memory. */
char *cis_path_join(const char *a, const char *b);
/* Writes everything; retries EINTR. 0 or errno. */
int cis_fd_write_all(int fd, const void *ptr, size_t len);

#endif
