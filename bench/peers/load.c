/* Round trips with an echo server on loopback: every connection sends a message, awaits all of it,
 * and sends the next. Prints round trips a second, after a tenth of the time to warm up.
 *
 *   load PORT CONNECTIONS BYTES SECONDS */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024

static char message[65536], got[65536];
static struct {
    int fd;
    size_t received;
} peers[MOST];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(bool is, const char *what)
{
    if (!is) {
        perror(what);
        exit(1);
    }
}

static int reaches(unsigned short port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void sends(int fd, size_t bytes)
{
    need(send(fd, message, bytes, MSG_NOSIGNAL) == (ssize_t)bytes, "send");
}

/* Is the answer whole, and what was sent? */
static bool receives(unsigned n, size_t bytes)
{
    ssize_t here = recv(peers[n].fd, got, bytes - peers[n].received, 0);
    need(here > 0 && memcmp(got, message + peers[n].received, (size_t)here) == 0, "receive");
    peers[n].received += (size_t)here;
    if (peers[n].received < bytes) {
        return false;
    }
    peers[n].received = 0;
    return true;
}

static double round_trips(int epoll, size_t bytes, double seconds)
{
    struct epoll_event ready[128];
    unsigned long done = 0, before = 0;
    double begin = now(), warm = 0;
    for (;;) {
        int n = epoll_wait(epoll, ready, sizeof ready / sizeof *ready, -1);
        need(n > 0, "epoll_wait");
        for (int i = 0; i < n; i++) {
            if (receives(ready[i].data.u32, bytes)) {
                sends(peers[ready[i].data.u32].fd, bytes);
                done++;
            }
        }
        double at = now();
        if (warm == 0 && at - begin > seconds / 10) {
            warm = at, before = done;
        }
        if (at - begin > seconds) {
            return (double)(done - before) / (at - warm);
        }
    }
}

/* In order, or what is on its way would reset the connection. */
static void leaves(int fd)
{
    ssize_t n;
    shutdown(fd, SHUT_WR);
    while ((n = recv(fd, got, sizeof got, 0)) > 0) {
    }
    need(n == 0, "the end");
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 5 || strtoul(argv[2], NULL, 10) > MOST || strtoul(argv[3], NULL, 10) > sizeof got) {
        fprintf(stderr, "usage: load PORT CONNECTIONS BYTES SECONDS\n");
        return 2;
    }
    unsigned connections = (unsigned)strtoul(argv[2], NULL, 10);
    size_t bytes = strtoul(argv[3], NULL, 10);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t n = 0; n < sizeof message; n++) {
        message[n] = (char)(n * 7 / 5);
    }
    for (unsigned n = 0; n < connections; n++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = n};
        peers[n].fd = reaches((unsigned short)strtoul(argv[1], NULL, 10));
        need(epoll_ctl(epoll, EPOLL_CTL_ADD, peers[n].fd, &event) == 0, "epoll_ctl");
    }
    for (unsigned n = 0; n < connections; n++) {
        sends(peers[n].fd, bytes);
    }
    printf("%.1f\n", round_trips(epoll, bytes, strtod(argv[4], NULL)));
    for (unsigned n = 0; n < connections; n++) {
        leaves(peers[n].fd);
    }
    return 0;
}
