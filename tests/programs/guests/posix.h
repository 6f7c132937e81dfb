/* Included before every source of a program that was written for POSIX: names that WASI 0.1's C
 * library leaves out, because WASI has no users, no modes, no processes and no signals. What can
 * only succeed (a mode that is not kept, one user) succeeds; what a caller has to know of fails
 * with ENOSYS. posix.c holds the bodies. The programs' own sources stay as they are. */
#ifndef CIS_PROGRAMS_POSIX_H
#define CIS_PROGRAMS_POSIX_H
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

int chmod(const char *path, mode_t mode);
int fchmod(int fd, mode_t mode);
int chown(const char *path, uid_t uid, gid_t gid);
int lchown(const char *path, uid_t uid, gid_t gid);
int fchown(int fd, uid_t uid, gid_t gid);
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
mode_t umask(mode_t mask);
pid_t getppid(void);
unsigned alarm(unsigned seconds);
#define PRIO_PROCESS 0
int setpriority(int which, int who, int value);
int system(const char *command);
FILE *popen(const char *command, const char *mode);
int pclose(FILE *stream);
FILE *tmpfile(void);
int mkstemp(char *template);
char *realpath(const char *path, char *resolved);
int dup(int fd);
int pipe(int fds[2]);

/* fcntl knows no locks: F_GETLK and F_SETLK are EINVAL. */
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#endif
