/* A terminal of its own for the program. It never has a descriptor of the user's: what it writes is
 * copied there, and nothing that it does to its own reaches the user's. A terminal that takes
 * nothing, as a stopped one, holds nobody up but the program: the limits are looked at meanwhile.
 *
 * When only one of stdin and stdout is a terminal nothing is copied: two would read its keys. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "exec/internal.h"

#define DRAIN_NS (4 * CIS_NS_PER_S) /* without a byte that is taken */

enum { KEYS, INNER, SCREEN }; /* what is waited for */

struct exec_terminal_saved {
    struct termios modes; /* of the one that is used */
    struct sigaction resize;
    struct given { /* 0 to 2, as the program was handed them */
        bool is, is_terminal;
        struct termios modes;
        mode_t permissions;
    } given[3];
};

static volatile sig_atomic_t resized;

static void on_resize(int sig)
{
    (void)sig;
    resized = 1;
}

static void copy_size(const struct exec_terminal *t)
{
    struct winsize size;
    if (ioctl(t->outer, TIOCGWINSZ, &size) == 0) {
        (void)ioctl(t->inner, TIOCSWINSZ, &size);
    }
}

/* ---- what is handed on ---- */

static void note_given(struct exec_terminal_saved *saved)
{
    for (int fd = 0; fd < 3; fd++) {
        struct given *g = &saved->given[fd];
        struct stat st;
        g->is = fstat(fd, &st) == 0;
        g->permissions = g->is ? st.st_mode & 07777u : 0;
        g->is_terminal = g->is && isatty(fd) && tcgetattr(fd, &g->modes) == 0;
    }
}

/* Setting modes that are as they were would stop a program in the background. */
static void restore_modes(int fd, const struct termios *before)
{
    struct termios now = {0};
    if (tcgetattr(fd, &now) == 0 &&
        (now.c_iflag != before->c_iflag || now.c_oflag != before->c_oflag ||
         now.c_cflag != before->c_cflag || now.c_lflag != before->c_lflag ||
         memcmp(now.c_cc, before->c_cc, sizeof now.c_cc) != 0)) {
        (void)tcsetattr(fd, TCSANOW, before);
    }
}

/* Who has a descriptor of his own file sets its permissions: a file that output went to does not
 * become a program with its user's rights. */
static void restore_given(const struct exec_terminal_saved *saved)
{
    for (int fd = 0; fd < 3; fd++) {
        const struct given *g = &saved->given[fd];
        struct stat st;
        if (g->is_terminal) {
            restore_modes(fd, &g->modes);
        }
        if (g->is && fstat(fd, &st) == 0 && (st.st_mode & 07777u) != g->permissions) {
            (void)fchmod(fd, g->permissions);
        }
    }
}

/* ---- a terminal of its own ---- */

/* Opened anew, so that no write waits; else as it was given, and it does. */
static int open_screen(void)
{
    char name[64];
    int fd = ttyname_r(STDOUT_FILENO, name, sizeof name) == 0
                 ? open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
                 : -1;
    return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

cis_code cis_exec_terminal_open(struct exec_terminal *t, struct cis_error *err)
{
    t->saved = cis_zalloc(sizeof *t->saved);
    if (t->saved == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    note_given(t->saved);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        return CIS_OK;
    }
    t->outer = STDIN_FILENO;
    t->screen = open_screen();
    if (t->screen < 0 || tcgetattr(t->outer, &t->saved->modes) != 0 ||
        openpty(&t->inner, &t->program, NULL, &t->saved->modes, NULL) != 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, errno, "a terminal for the program");
    }
    (void)fcntl(t->inner, F_SETFD, FD_CLOEXEC);
    (void)fcntl(t->inner, F_SETFL, O_NONBLOCK);
    (void)fcntl(t->program, F_SETFD, FD_CLOEXEC);
    copy_size(t);
    t->used = true;
    return CIS_OK;
}

void cis_exec_terminal_began(struct exec_terminal *t)
{
    if (!t->used) {
        return;
    }
    struct sigaction resize = {.sa_handler = on_resize};
    struct termios raw = t->saved->modes;
    close(t->program);
    t->program = -1;
    sigaction(SIGWINCH, &resize, &t->saved->resize);
    cfmakeraw(&raw);
    (void)tcsetattr(t->outer, TCSADRAIN, &raw);
}

void cis_exec_terminal_poll(const struct exec_terminal *t, struct pollfd fds[EXEC_TERMINAL_FDS])
{
    bool keys = t->pending_in == 0, text = t->pending_out == 0;
    short inner = (short)((text ? POLLIN : 0) | (keys ? 0 : POLLOUT));
    fds[KEYS] = (struct pollfd){.fd = t->used && keys ? t->outer : -1, .events = POLLIN};
    fds[INNER] = (struct pollfd){.fd = t->used && inner != 0 ? t->inner : -1, .events = inner};
    fds[SCREEN] = (struct pollfd){.fd = t->used && !text ? t->screen : -1, .events = POLLOUT};
}

/* Writes what fits; false: the descriptor is of no use any more. */
static bool push(int fd, char *text, size_t *len)
{
    ssize_t n = *len != 0 ? write(fd, text, *len) : 0;
    if (n > 0) {
        *len -= (size_t)n;
        memmove(text, text + n, *len);
    }
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Reads what there is; false: the other side is closed. */
static bool pull(int fd, char *text, size_t size, size_t *len)
{
    ssize_t n = read(fd, text, size);
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The user's is gone: the program hears of it as everybody does, by the end of its own. */
static bool hang_up(struct exec_terminal *t)
{
    close(t->inner);
    t->inner = -1;
    t->used = false;
    return false;
}

bool cis_exec_terminal_relay(struct exec_terminal *t, const struct pollfd fds[EXEC_TERMINAL_FDS])
{
    if (!t->used) {
        return false;
    }
    if (resized) {
        resized = 0;
        copy_size(t);
    }
    if (fds[KEYS].revents != 0 && !pull(t->outer, t->in, sizeof t->in, &t->pending_in)) {
        return hang_up(t);
    }
    if (!push(t->inner, t->in, &t->pending_in)) {
        t->pending_in = 0; /* nobody has the other end */
    }
    bool open = true;
    if ((fds[INNER].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && t->pending_out == 0) {
        open = pull(t->inner, t->out, sizeof t->out, &t->pending_out);
    }
    if (!push(t->screen, t->out, &t->pending_out)) {
        return hang_up(t);
    }
    return open;
}

void cis_exec_terminal_drain(struct exec_terminal *t)
{
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), DRAIN_NS);
    while (t->used && cis_clock_mono_ns() < until) {
        struct pollfd fds[EXEC_TERMINAL_FDS];
        size_t before = t->pending_out;
        cis_exec_terminal_poll(t, fds);
        fds[KEYS].fd = -1;
        int ready = poll(fds, EXEC_TERMINAL_FDS, before != 0 ? 100 : 0);
        if (ready <= 0 && before == 0) {
            return;
        }
        if (!cis_exec_terminal_relay(t, fds) && t->pending_out == 0) {
            return;
        }
        if (t->pending_out != before) {
            until = cis_clock_after(cis_clock_mono_ns(), DRAIN_NS);
        }
    }
}

/* What the terminal answers to questions of the program (where the cursor is, what it can) came too
 * late for it, and would be taken for the user's next command. */
void cis_exec_terminal_close(struct exec_terminal *t)
{
    if (t->saved != NULL && t->outer >= 0 && t->program < 0 && t->screen >= 0) { /* it had begun */
        (void)tcflush(t->outer, TCIFLUSH);
        (void)tcsetattr(t->outer, TCSANOW, &t->saved->modes);
        sigaction(SIGWINCH, &t->saved->resize, NULL);
    }
    if (t->saved != NULL) {
        restore_given(t->saved);
    }
    const int fds[] = {t->screen, t->inner, t->program};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    cis_free(t->saved);
    *t = (struct exec_terminal)EXEC_TERMINAL_INIT;
}
