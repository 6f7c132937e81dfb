/* Opens, makes, links and renames along paths that somebody else exchanges all the while for links
 * that lead out. The arguments: how many pairs of rename and open, and a number of its own. Every
 * file inside says INSIDE; reading anything else is an escape. The host looks for what was made
 * outside. */
#include "raw.h"

static uint64_t escapes, reached;

static void look(uint32_t dir, uint32_t how, const char *path)
{
    uint32_t fd, n = 0;
    char text[16] = "";
    struct raw_iov iov = {text, 15};
    if (raw_path_open(dir, how, TEXT(path), 0, R_READ, 0, 0, &fd) != 0) {
        return;
    }
    if (raw_fd_read(fd, &iov, 1, &n) == 0 && n > 0) {
        bool inside = strncmp(text, "INSIDE", 6) == 0;
        reached += inside;
        escapes += !inside;
    }
    raw_fd_close(fd);
}

int main(int argc, char **argv)
{
    static const char *const paths[] = {"d/secret",      "d/sub/secret",      "e/secret",
                                        "d/../e/secret", "dl/secret",         "e/sub/../secret",
                                        "el/etc/passwd", "deep/er/../secret", "d/sub/../../secret",
                                        "d/sl",          "dl/sub/secret",     "e/./sub/secret"};
    uint64_t pairs = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    uint32_t dir = (uint32_t)preopen("/w"), fd;
    unsigned mine = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    char a[32], b[32], c[32];
    snprintf(a, sizeof a, "d/made%u", mine);
    snprintf(b, sizeof b, "e/sub/moved%u", mine);
    snprintf(c, sizeof c, "dl/made%u", mine);
    for (uint64_t i = 0; i < pairs; i++) {
        look(dir, i % 2 == 0 ? FOLLOW : 0, paths[(i + mine) % COUNT(paths)]);
        switch (i % 6) {
        case 0:
            if (raw_open(dir, i % 4 == 0 ? a : c, O_R_CREAT, R_FILE, 0, &fd) == 0) {
                raw_write_text(fd, "INSIDE");
                raw_fd_close(fd);
            }
            break;
        case 1:
            raw_rename(dir, a, dir, b);
            break;
        case 2:
            raw_rename(dir, b, dir, c);
            break;
        case 3:
            raw_rename(dir, c, dir, a);
            break;
        case 4:
            if (raw_link(dir, FOLLOW, paths[i / 6 % COUNT(paths)], dir, b) == 0) {
                look(dir, 0, b);
            }
            raw_rename(dir, "d/sl", dir, i % 5 == 0 ? "dl/" : a);
            break;
        default:
            raw_rename(dir, b, dir, a);
            raw_unlink(dir, b);
            raw_unlink(dir, c);
            raw_symlink("../../out/secret", dir, "d/sl");
        }
    }
    printf("%llu escapes, reached %d\n", (unsigned long long)escapes, reached > 0);
    return escapes != 0;
}
