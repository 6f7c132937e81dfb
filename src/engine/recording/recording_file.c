/* The bytes of a recording. Frames of at most 64 KiB, each with its length and a CRC32C that goes
 * on from the frame before: a frame that is changed, missing, twice or in another place does not
 * fit. What events mean is not known here. */
#include "engine/recording/recording_in.h"

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

cis_code cis_recording_check(const cis_recording *recording, struct cis_error *err)
{
    if (recording->failed.code != CIS_OK && err != NULL) {
        *err = recording->failed;
    }
    return recording->failed.code;
}

cis_code cis_recording_damaged(cis_recording *recording, const char *what)
{
    if (recording->failed.code == CIS_OK) {
        cis_fail(&recording->failed, CIS_E_DAMAGED,
                 "%s: damaged before byte %llu, after call %llu: %s", recording->path,
                 (unsigned long long)recording->offset, (unsigned long long)recording->calls, what);
    }
    return recording->failed.code;
}

/* ---- writing ---- */

static void write_out(cis_recording *recording, const void *ptr, size_t len)
{
    if (recording->failed.code != CIS_OK) {
        return;
    }
    uint64_t max =
        recording->source.bytes_max != 0 ? recording->source.bytes_max : CIS_RECORDING_BYTES_MAX;
    if (len > max || recording->offset > max - len) {
        cis_fail(&recording->failed, CIS_E_LIMIT,
                 "%s: the recording would be larger than %llu bytes (raise it with --record-max)",
                 recording->path, (unsigned long long)max);
        return;
    }
    int sys = cis_fd_write_all(recording->fd, ptr, len);
    if (sys != 0) {
        cis_fail_sys(&recording->failed, CIS_E_IO, sys,
                     "%s: the run cannot be recorded any further", recording->path);
    }
    recording->offset += len;
}

static void flush(cis_recording *recording)
{
    if (recording->len == 0) {
        return;
    }
    cis_put_le32(recording->frame, (uint32_t)recording->len);
    recording->crc = cis_crc32c(recording->crc, recording->frame, 4);
    recording->crc = cis_crc32c(recording->crc, recording->frame + FRAME_HEADER, recording->len);
    cis_put_le32(recording->frame + 4, recording->crc);
    write_out(recording, recording->frame, FRAME_HEADER + recording->len);
    recording->len = 0;
}

void cis_recording_put(cis_recording *recording, const void *ptr, size_t len)
{
    const uint8_t *from = ptr;
    while (len != 0) {
        size_t room = CIS_RECORDING_FRAME_MAX - recording->len, n = len < room ? len : room;
        memcpy(recording->frame + FRAME_HEADER + recording->len, from, n);
        recording->len += n;
        from += n;
        len -= n;
        if (recording->len == CIS_RECORDING_FRAME_MAX) {
            flush(recording);
        }
    }
}

void cis_recording_put_number(cis_recording *recording, uint64_t value)
{
    uint8_t bytes[CIS_VARINT_MAX];
    cis_recording_put(recording, bytes, cis_varint_put(bytes, value));
}

void cis_recording_put_text(cis_recording *recording, struct cis_str text)
{
    cis_recording_put_number(recording, text.len);
    cis_recording_put(recording, text.ptr, text.len);
}

/* ---- reading ---- */

/* As much as there is of what was asked for. */
static size_t read_in(cis_recording *recording, void *out, size_t len)
{
    size_t got = 0;
    while (got < len && recording->failed.code == CIS_OK) {
        ssize_t n = read(recording->fd, (uint8_t *)out + got, len - got);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            cis_fail_sys(&recording->failed, CIS_E_IO, errno, "%s", recording->path);
        }
        got += n > 0 ? (size_t)n : 0;
    }
    recording->offset += got;
    return got;
}

static void cut_off(cis_recording *recording)
{
    if (recording->failed.code == CIS_OK) {
        cis_fail(&recording->failed, CIS_E_DAMAGED,
                 "%s: cut off at byte %llu, after call %llu: it was not recorded to its end",
                 recording->path, (unsigned long long)recording->offset,
                 (unsigned long long)recording->calls);
    }
}

/* The next frame. False, and the failure is kept: the file ends here, or is damaged. */
static bool fill(cis_recording *recording)
{
    recording->pos = recording->len = 0;
    if (recording->failed.code != CIS_OK) {
        return false;
    }
    if (read_in(recording, recording->frame, FRAME_HEADER) != FRAME_HEADER) {
        cut_off(recording);
        return false;
    }
    uint32_t len = cis_le32(recording->frame);
    if (len == 0 || len > CIS_RECORDING_FRAME_MAX) {
        cis_recording_damaged(recording, "a frame of impossible length");
        return false;
    }
    if (read_in(recording, recording->frame + FRAME_HEADER, len) != len) {
        cut_off(recording);
        return false;
    }
    uint32_t crc = cis_crc32c(recording->crc, recording->frame, 4);
    crc = cis_crc32c(crc, recording->frame + FRAME_HEADER, len);
    if (crc != cis_le32(recording->frame + 4)) {
        cis_recording_damaged(recording, "the checksum does not match");
        return false;
    }
    recording->crc = crc;
    recording->len = len;
    return true;
}

void cis_recording_get(cis_recording *recording, void *out, size_t len)
{
    uint8_t *to = out;
    while (len != 0) {
        if (recording->pos == recording->len && !fill(recording)) {
            memset(to, 0, len);
            return;
        }
        size_t have = recording->len - recording->pos, n = len < have ? len : have;
        memcpy(to, recording->frame + FRAME_HEADER + recording->pos, n);
        recording->pos += n;
        to += n;
        len -= n;
    }
}

uint8_t cis_recording_peek(cis_recording *recording)
{
    if (recording->pos == recording->len && !fill(recording)) {
        return 0;
    }
    return recording->frame[FRAME_HEADER + recording->pos];
}

uint8_t cis_recording_get_event(cis_recording *recording)
{
    uint8_t event;
    cis_recording_look(recording);
    cis_recording_get(recording, &event, 1);
    return event;
}

uint64_t cis_recording_get_number(cis_recording *recording)
{
    uint8_t bytes[CIS_VARINT_MAX];
    size_t n = 0, at = 0;
    uint64_t value = 0;
    do {
        cis_recording_get(recording, &bytes[n], 1);
    } while ((bytes[n++] & 0x80) != 0 && n < CIS_VARINT_MAX);
    if (!cis_varint_get((struct cis_bytes){bytes, n}, &at, &value)) {
        cis_recording_damaged(recording, "a number");
        return 0;
    }
    return value;
}

void cis_recording_get_text(cis_recording *recording, char *out, size_t room)
{
    uint64_t len = cis_recording_get_number(recording);
    if (len >= room) {
        cis_recording_damaged(recording, "a text that is too long");
        len = 0;
    }
    cis_recording_get(recording, out, (size_t)len);
    out[len] = 0;
}

/* It only grows as its bytes come: its length alone costs nothing. */
void cis_recording_get_long(cis_recording *recording, struct cis_buf *out)
{
    uint64_t left = cis_recording_get_number(recording);
    if (left > out->max - out->len) {
        cis_recording_damaged(recording, "a text that is too long");
    }
    while (left != 0 && recording->failed.code == CIS_OK) {
        size_t n = left < CIS_RECORDING_FRAME_MAX ? (size_t)left : CIS_RECORDING_FRAME_MAX;
        uint8_t *to = cis_buf_reserve(out, n);
        if (to == NULL) {
            (void)cis_buf_check(out, recording->path, &recording->failed);
            return;
        }
        cis_recording_get(recording, to, n);
        out->len += n;
        left -= n;
    }
}

void cis_recording_put_seen(cis_recording *recording, struct cis_bytes bytes)
{
    uint8_t digest[CIS_RECORDING_DIGEST];
    cis_recording_put_number(recording, bytes.len);
    if (bytes.len <= CIS_RECORDING_RAW_MAX) {
        cis_recording_put(recording, bytes.ptr, bytes.len);
    } else {
        cis_recording_digest(recording, bytes.ptr, bytes.len, digest);
        cis_recording_put(recording, digest, sizeof digest);
    }
}

bool cis_recording_get_seen(cis_recording *recording, struct cis_bytes now)
{
    uint8_t then[CIS_RECORDING_RAW_MAX], digest[CIS_RECORDING_DIGEST];
    uint64_t len = cis_recording_get_number(recording);
    bool raw = len <= CIS_RECORDING_RAW_MAX;
    cis_recording_get(recording, then, raw ? (size_t)len : sizeof digest);
    if (recording->failed.code != CIS_OK || len != now.len) {
        return false;
    }
    if (raw) {
        return len == 0 || memcmp(then, now.ptr, now.len) == 0;
    }
    cis_recording_digest(recording, now.ptr, now.len, digest);
    return memcmp(then, digest, sizeof digest) == 0;
}

/* ---- values ---- */

static size_t width(char type)
{
    return type == 'i' || type == 'f' ? 4 : type == 'v' ? 16 : 8;
}

void cis_recording_put_slots(cis_recording *recording, const char *types, const union cis_slot *io)
{
    for (; *types != 0 && *types != ':'; types++, io++) {
        cis_recording_put(recording, io->bytes, width(*types));
    }
}

void cis_recording_get_slots(cis_recording *recording, const char *types, union cis_slot *io)
{
    for (; *types != 0 && *types != ':'; types++, io++) {
        memset(io, 0, sizeof *io);
        cis_recording_get(recording, io->bytes, width(*types));
    }
}

bool cis_recording_slot_eq(char type, const union cis_slot *a, const union cis_slot *b)
{
    return memcmp(a->bytes, b->bytes, width(type)) == 0;
}

void cis_recording_digest(cis_recording *recording, const void *ptr, size_t len,
                          uint8_t out[CIS_RECORDING_DIGEST])
{
    static const uint8_t key[CIS_MAC_KEY_BYTES] = "bytes that a host function reads";
    uint8_t whole[CIS_MAC_BYTES];
    struct cis_mac_state state; /* BLAKE2b: three times as fast as SHA-256 here */
    const uint8_t *at = ptr;
    cis_mac_init(&state, key);
    cis_mac_part(&state, len);
    for (size_t left = len, n; left != 0 && recording->failed.code == CIS_OK; left -= n, at += n) {
        n = left < CIS_RECORDING_PIECE ? left : CIS_RECORDING_PIECE;
        cis_mac_update(&state, cis_bytes_of(at, n));
        if (left != n) {
            cis_recording_look(recording);
        }
    }
    cis_mac_final(&state, whole);
    memcpy(out, whole, CIS_RECORDING_DIGEST);
}

/* ---- the file ---- */

static cis_code begin_reading(cis_recording *recording, uint8_t start[sizeof magic + 4])
{
    if (read_in(recording, start, sizeof magic + 4) != sizeof magic + 4 ||
        memcmp(start, magic, sizeof magic) != 0) {
        if (recording->failed.code == CIS_OK) {
            cis_fail(&recording->failed, CIS_E_INVALID, "%s: not a recorded run", recording->path);
        }
        return recording->failed.code;
    }
    uint32_t version = cis_le32(start + sizeof magic);
    return version == VERSION
               ? CIS_OK
               : cis_fail(&recording->failed, CIS_E_UNSUPPORTED,
                          "%s: is of version %u of the format; this program reads version %u",
                          recording->path, version, VERSION);
}

cis_code cis_recording_file_begin(cis_recording *recording, int fd, struct cis_error *err)
{
    uint8_t start[sizeof magic + 4];
    recording->fd = fd;
    recording->frame = cis_alloc(FRAME_HEADER + CIS_RECORDING_FRAME_MAX);
    if (recording->frame == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", recording->path);
    }
    if (recording->replay) {
        (void)begin_reading(recording, start);
    } else {
        memcpy(start, magic, sizeof magic);
        cis_put_le32(start + sizeof magic, VERSION);
        write_out(recording, start, sizeof start);
    }
    recording->crc = cis_crc32c(0, start, sizeof start);
    return cis_recording_check(recording, err);
}

cis_code cis_recording_file_end(cis_recording *recording, struct cis_error *err)
{
    if (recording->replay) {
        uint8_t more;
        if (recording->pos != recording->len || read_in(recording, &more, 1) != 0) {
            cis_recording_damaged(recording, "data follows the end mark");
        }
        return cis_recording_check(recording, err);
    }
    flush(recording);
    if (recording->fd >= 0 && close(recording->fd) != 0 && errno != EINTR &&
        recording->failed.code == CIS_OK) {
        cis_fail_sys(&recording->failed, CIS_E_IO, errno, "%s: the run cannot be recorded",
                     recording->path);
    }
    recording->fd = -1;
    return cis_recording_check(recording, err);
}
