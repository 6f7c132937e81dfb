/* The bytes of a tape. Frames of at most 64 KiB, each with its length and a CRC32C that goes on
 * from the frame before: a frame that is changed, missing, twice or in another place does not fit.
 * What events mean is not known here. */
#include "engine/recording/tape_in.h"

#include <errno.h>
#include <unistd.h>
#include "base/crc32c.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/varint.h"

#define FRAME_HEADER 8u /* length, CRC32C of length and bytes */

static const char magic[8] = "cistape\n";
#define VERSION 1u

cis_code cis_tape_check(const cis_tape *tape, struct cis_error *err)
{
    if (tape->failed.code != CIS_OK && err != NULL) {
        *err = tape->failed;
    }
    return tape->failed.code;
}

cis_code cis_tape_damaged(cis_tape *tape, const char *what)
{
    if (tape->failed.code == CIS_OK) {
        cis_fail(&tape->failed, CIS_E_DAMAGED, "%s: damaged before byte %llu, after call %llu: %s",
                 tape->path, (unsigned long long)tape->offset, (unsigned long long)tape->calls,
                 what);
    }
    return tape->failed.code;
}

/* ---- writing ---- */

static void write_out(cis_tape *tape, const void *ptr, size_t len)
{
    if (tape->failed.code != CIS_OK) {
        return;
    }
    uint64_t max = tape->source.bytes_max != 0 ? tape->source.bytes_max : CIS_TAPE_BYTES_MAX;
    if (len > max || tape->offset > max - len) {
        cis_fail(&tape->failed, CIS_E_LIMIT,
                 "%s: the record of the run would be larger than %llu bytes (--record-max)",
                 tape->path, (unsigned long long)max);
        return;
    }
    int sys = cis_fd_write_all(tape->fd, ptr, len);
    if (sys != 0) {
        cis_fail_sys(&tape->failed, CIS_E_IO, sys, "%s: the run cannot be recorded any further",
                     tape->path);
    }
    tape->offset += len;
}

static void flush(cis_tape *tape)
{
    if (tape->len == 0) {
        return;
    }
    cis_put_le32(tape->frame, (uint32_t)tape->len);
    tape->crc = cis_crc32c(tape->crc, tape->frame, 4);
    tape->crc = cis_crc32c(tape->crc, tape->frame + FRAME_HEADER, tape->len);
    cis_put_le32(tape->frame + 4, tape->crc);
    write_out(tape, tape->frame, FRAME_HEADER + tape->len);
    tape->len = 0;
}

void cis_tape_put(cis_tape *tape, const void *ptr, size_t len)
{
    const uint8_t *from = ptr;
    while (len != 0) {
        size_t room = CIS_TAPE_FRAME_MAX - tape->len, n = len < room ? len : room;
        memcpy(tape->frame + FRAME_HEADER + tape->len, from, n);
        tape->len += n;
        from += n;
        len -= n;
        if (tape->len == CIS_TAPE_FRAME_MAX) {
            flush(tape);
        }
    }
}

void cis_tape_put_number(cis_tape *tape, uint64_t value)
{
    uint8_t bytes[CIS_VARINT_MAX];
    cis_tape_put(tape, bytes, cis_varint_put(bytes, value));
}

void cis_tape_put_text(cis_tape *tape, struct cis_str text)
{
    cis_tape_put_number(tape, text.len);
    cis_tape_put(tape, text.ptr, text.len);
}

/* ---- reading ---- */

/* As much as there is of what was asked for. */
static size_t read_in(cis_tape *tape, void *out, size_t len)
{
    size_t got = 0;
    while (got < len && tape->failed.code == CIS_OK) {
        ssize_t n = read(tape->fd, (uint8_t *)out + got, len - got);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            cis_fail_sys(&tape->failed, CIS_E_IO, errno, "%s", tape->path);
        }
        got += n > 0 ? (size_t)n : 0;
    }
    tape->offset += got;
    return got;
}

static void cut_off(cis_tape *tape)
{
    if (tape->failed.code == CIS_OK) {
        cis_fail(&tape->failed, CIS_E_DAMAGED,
                 "%s: cut off at byte %llu, after call %llu: it was not recorded to its end",
                 tape->path, (unsigned long long)tape->offset, (unsigned long long)tape->calls);
    }
}

/* The next frame. False, and the failure is kept: the file ends here, or is damaged. */
static bool fill(cis_tape *tape)
{
    tape->pos = tape->len = 0;
    if (tape->failed.code != CIS_OK) {
        return false;
    }
    if (read_in(tape, tape->frame, FRAME_HEADER) != FRAME_HEADER) {
        cut_off(tape);
        return false;
    }
    uint32_t len = cis_le32(tape->frame);
    if (len == 0 || len > CIS_TAPE_FRAME_MAX) {
        cis_tape_damaged(tape, "a frame of a length that none has");
        return false;
    }
    if (read_in(tape, tape->frame + FRAME_HEADER, len) != len) {
        cut_off(tape);
        return false;
    }
    uint32_t crc = cis_crc32c(tape->crc, tape->frame, 4);
    crc = cis_crc32c(crc, tape->frame + FRAME_HEADER, len);
    if (crc != cis_le32(tape->frame + 4)) {
        cis_tape_damaged(tape, "the checksum does not fit");
        return false;
    }
    tape->crc = crc;
    tape->len = len;
    return true;
}

void cis_tape_get(cis_tape *tape, void *out, size_t len)
{
    uint8_t *to = out;
    while (len != 0) {
        if (tape->pos == tape->len && !fill(tape)) {
            memset(to, 0, len);
            return;
        }
        size_t have = tape->len - tape->pos, n = len < have ? len : have;
        memcpy(to, tape->frame + FRAME_HEADER + tape->pos, n);
        tape->pos += n;
        to += n;
        len -= n;
    }
}

uint8_t cis_tape_peek(cis_tape *tape)
{
    if (tape->pos == tape->len && !fill(tape)) {
        return 0;
    }
    return tape->frame[FRAME_HEADER + tape->pos];
}

uint8_t cis_tape_get_event(cis_tape *tape)
{
    uint8_t event;
    cis_tape_get(tape, &event, 1);
    return event;
}

uint64_t cis_tape_get_number(cis_tape *tape)
{
    uint8_t bytes[CIS_VARINT_MAX];
    size_t n = 0, at = 0;
    uint64_t value = 0;
    do {
        cis_tape_get(tape, &bytes[n], 1);
    } while ((bytes[n++] & 0x80) != 0 && n < CIS_VARINT_MAX);
    if (!cis_varint_get((struct cis_bytes){bytes, n}, &at, &value)) {
        cis_tape_damaged(tape, "a number");
        return 0;
    }
    return value;
}

void cis_tape_get_text(cis_tape *tape, char *out, size_t room)
{
    uint64_t len = cis_tape_get_number(tape);
    if (len >= room) {
        cis_tape_damaged(tape, "a text longer than any");
        len = 0;
    }
    cis_tape_get(tape, out, (size_t)len);
    out[len] = 0;
}

/* It only grows as its bytes come: its length alone costs nothing. */
void cis_tape_get_long(cis_tape *tape, struct cis_buf *out)
{
    uint64_t left = cis_tape_get_number(tape);
    if (left > out->max - out->len) {
        cis_tape_damaged(tape, "a text longer than any");
    }
    while (left != 0 && tape->failed.code == CIS_OK) {
        size_t n = left < CIS_TAPE_FRAME_MAX ? (size_t)left : CIS_TAPE_FRAME_MAX;
        uint8_t *to = cis_buf_reserve(out, n);
        if (to == NULL) {
            (void)cis_buf_check(out, tape->path, &tape->failed);
            return;
        }
        cis_tape_get(tape, to, n);
        out->len += n;
        left -= n;
    }
}

void cis_tape_put_seen(cis_tape *tape, struct cis_bytes bytes)
{
    uint8_t digest[CIS_TAPE_DIGEST];
    cis_tape_put_number(tape, bytes.len);
    if (bytes.len <= CIS_TAPE_RAW_MAX) {
        cis_tape_put(tape, bytes.ptr, bytes.len);
    } else {
        cis_tape_digest(bytes.ptr, bytes.len, digest);
        cis_tape_put(tape, digest, sizeof digest);
    }
}

bool cis_tape_get_seen(cis_tape *tape, struct cis_bytes now)
{
    uint8_t then[CIS_TAPE_RAW_MAX], digest[CIS_TAPE_DIGEST];
    uint64_t len = cis_tape_get_number(tape);
    bool raw = len <= CIS_TAPE_RAW_MAX;
    cis_tape_get(tape, then, raw ? (size_t)len : sizeof digest);
    if (tape->failed.code != CIS_OK || len != now.len) {
        return false;
    }
    if (raw) {
        return len == 0 || memcmp(then, now.ptr, now.len) == 0;
    }
    cis_tape_digest(now.ptr, now.len, digest);
    return memcmp(then, digest, sizeof digest) == 0;
}

/* ---- values ---- */

static size_t width(char type)
{
    return type == 'i' || type == 'f' ? 4 : type == 'v' ? 16 : 8;
}

void cis_tape_put_slots(cis_tape *tape, const char *types, const union cis_slot *io)
{
    for (; *types != 0 && *types != ':'; types++, io++) {
        cis_tape_put(tape, io->bytes, width(*types));
    }
}

void cis_tape_get_slots(cis_tape *tape, const char *types, union cis_slot *io)
{
    for (; *types != 0 && *types != ':'; types++, io++) {
        memset(io, 0, sizeof *io);
        cis_tape_get(tape, io->bytes, width(*types));
    }
}

bool cis_tape_slot_eq(char type, const union cis_slot *a, const union cis_slot *b)
{
    return memcmp(a->bytes, b->bytes, width(type)) == 0;
}

void cis_tape_digest(const void *ptr, size_t len, uint8_t out[CIS_TAPE_DIGEST])
{
    static const uint8_t key[CIS_MAC_KEY_BYTES] = "bytes that a host function reads";
    uint8_t whole[CIS_MAC_BYTES];
    const struct cis_bytes bytes = cis_bytes_of(ptr, len);
    cis_mac(key, &bytes, 1, whole); /* BLAKE2b: three times as fast as SHA-256 here */
    memcpy(out, whole, CIS_TAPE_DIGEST);
}

/* ---- the file ---- */

static cis_code begin_reading(cis_tape *tape, uint8_t start[sizeof magic + 4])
{
    if (read_in(tape, start, sizeof magic + 4) != sizeof magic + 4 ||
        memcmp(start, magic, sizeof magic) != 0) {
        if (tape->failed.code == CIS_OK) {
            cis_fail(&tape->failed, CIS_E_INVALID, "%s: is no recorded run", tape->path);
        }
        return tape->failed.code;
    }
    uint32_t version = cis_le32(start + sizeof magic);
    return version == VERSION
               ? CIS_OK
               : cis_fail(&tape->failed, CIS_E_UNSUPPORTED,
                          "%s: is of version %u of the format; this program reads version %u",
                          tape->path, version, VERSION);
}

cis_code cis_tape_file_begin(cis_tape *tape, int fd, struct cis_error *err)
{
    uint8_t start[sizeof magic + 4];
    tape->fd = fd;
    tape->frame = cis_alloc(FRAME_HEADER + CIS_TAPE_FRAME_MAX);
    if (tape->frame == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", tape->path);
    }
    if (tape->replay) {
        (void)begin_reading(tape, start);
    } else {
        memcpy(start, magic, sizeof magic);
        cis_put_le32(start + sizeof magic, VERSION);
        write_out(tape, start, sizeof start);
    }
    tape->crc = cis_crc32c(0, start, sizeof start);
    return cis_tape_check(tape, err);
}

cis_code cis_tape_file_end(cis_tape *tape, struct cis_error *err)
{
    if (tape->replay) {
        uint8_t more;
        if (tape->pos != tape->len || read_in(tape, &more, 1) != 0) {
            cis_tape_damaged(tape, "something follows its end mark");
        }
        return cis_tape_check(tape, err);
    }
    flush(tape);
    if (tape->fd >= 0 && close(tape->fd) != 0 && errno != EINTR && tape->failed.code == CIS_OK) {
        cis_fail_sys(&tape->failed, CIS_E_IO, errno, "%s: the run cannot be recorded", tape->path);
    }
    tape->fd = -1;
    return cis_tape_check(tape, err);
}
