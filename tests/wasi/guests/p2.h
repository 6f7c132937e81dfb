/* WASI 0.2 as a C program sees it without generated bindings: its interfaces as text, which `cis
 * component new` reads, and its functions as the canonical ABI flattens them. Answers are written
 * where the last argument says, in the layouts below. */
#ifndef P2_H
#define P2_H

#include <stdint.h>

#define V "@0.2.12"
#define W(text) ".ascii \"" text "\\n\"\n"
/* clang-format off */
__asm__(".section \".custom_section.cis:wit\",\"\",@\n"
        W("package test:p2; world guest {")
        W(" import wasi:io/error" V "; import wasi:io/poll" V "; import wasi:io/streams" V ";")
        W(" import wasi:clocks/monotonic-clock" V "; import wasi:clocks/wall-clock" V ";")
        W(" import wasi:clocks/timezone" V ";")
        W(" import wasi:random/random" V "; import wasi:random/insecure" V ";")
        W(" import wasi:random/insecure-seed" V "; import wasi:cli/environment" V ";")
        W(" import wasi:cli/exit" V "; import wasi:cli/stdin" V "; import wasi:cli/stdout" V ";")
        W(" import wasi:cli/stderr" V "; import wasi:cli/terminal-input" V ";")
        W(" import wasi:cli/terminal-output" V "; import wasi:cli/terminal-stdin" V ";")
        W(" import wasi:cli/terminal-stdout" V "; import wasi:cli/terminal-stderr" V ";")
        W(" import wasi:filesystem/types" V "; import wasi:filesystem/preopens" V "; }")
        W("package wasi:io" V " {")
        W(" interface error { resource error { to-debug-string: func() -> string; } }")
        W(" interface poll { resource pollable { ready: func() -> bool; block: func(); }")
        W("  poll: func(in: list<borrow<pollable>>) -> list<u32>; }")
        W(" interface streams { use error.{error}; use poll.{pollable};")
        W("  variant stream-error { last-operation-failed(error), closed }")
        W("  resource input-stream {")
        W("   read: func(len: u64) -> result<list<u8>, stream-error>;")
        W("   blocking-read: func(len: u64) -> result<list<u8>, stream-error>;")
        W("   skip: func(len: u64) -> result<u64, stream-error>;")
        W("   blocking-skip: func(len: u64) -> result<u64, stream-error>;")
        W("   subscribe: func() -> pollable; }")
        W("  resource output-stream {")
        W("   check-write: func() -> result<u64, stream-error>;")
        W("   write: func(contents: list<u8>) -> result<_, stream-error>;")
        W("   blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;")
        W("   flush: func() -> result<_, stream-error>;")
        W("   blocking-flush: func() -> result<_, stream-error>;")
        W("   subscribe: func() -> pollable;")
        W("   write-zeroes: func(len: u64) -> result<_, stream-error>;")
        W("   blocking-write-zeroes-and-flush: func(len: u64) -> result<_, stream-error>;")
        W("   splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;")
        W("   blocking-splice: func(src: borrow<input-stream>, len: u64)")
        W("    -> result<u64, stream-error>; } } }")
        W("package wasi:clocks" V " {")
        W(" interface monotonic-clock { use wasi:io/poll" V ".{pollable};")
        W("  type instant = u64; type duration = u64;")
        W("  now: func() -> instant; resolution: func() -> duration;")
        W("  subscribe-instant: func(when: instant) -> pollable;")
        W("  subscribe-duration: func(when: duration) -> pollable; }")
        W(" interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 }")
        W("  now: func() -> datetime; resolution: func() -> datetime; }")
        W(" interface timezone { use wall-clock.{datetime};")
        W("  record timezone-display { utc-offset: s32, name: string,")
        W("   in-daylight-saving-time: bool }")
        W("  display: func(when: datetime) -> timezone-display;")
        W("  utc-offset: func(when: datetime) -> s32; } }")
        W("package wasi:random" V " {")
        W(" interface random { get-random-bytes: func(len: u64) -> list<u8>;")
        W("  get-random-u64: func() -> u64; }")
        W(" interface insecure { get-insecure-random-bytes: func(len: u64) -> list<u8>;")
        W("  get-insecure-random-u64: func() -> u64; }")
        W(" interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; } }")
        W("package wasi:cli" V " {")
        W(" interface environment { get-environment: func() -> list<tuple<string, string>>;")
        W("  get-arguments: func() -> list<string>; initial-cwd: func() -> option<string>; }")
        W(" interface exit { exit: func(status: result); exit-with-code: func(status-code: u8); }")
        W(" interface stdin { use wasi:io/streams" V ".{input-stream};")
        W("  get-stdin: func() -> input-stream; }")
        W(" interface stdout { use wasi:io/streams" V ".{output-stream};")
        W("get-stdout: func() -> output-stream; }")
        W("interface stderr { use wasi:io/streams" V ".{output-stream};")
        W("  get-stderr: func() -> output-stream; }")
        W(" interface terminal-input { resource terminal-input; }")
        W(" interface terminal-output { resource terminal-output; }")
        W(" interface terminal-stdin { use terminal-input.{terminal-input};")
        W("  get-terminal-stdin: func() -> option<terminal-input>; }")
        W(" interface terminal-stdout { use terminal-output.{terminal-output};")
        W("get-terminal-stdout: func() -> option<terminal-output>; }")
        W(" interface terminal-stderr { use terminal-output.{terminal-output};")
        W("get-terminal-stderr: func() -> option<terminal-output>; } }")
        W("package wasi:filesystem" V " { interface types {")
        W("  use wasi:io/streams" V ".{input-stream, output-stream, error};")
        W("  use wasi:clocks/wall-clock" V ".{datetime}; type filesize = u64; type link-count = u64;")
        W("enum descriptor-type { unknown, block-device, character-device, directory, fifo,")
        W("   symbolic-link, regular-file, socket }")
        W("  flags descriptor-flags { read, write, file-integrity-sync, data-integrity-sync,")
        W("requested-write-sync, mutate-directory }")
        W("record descriptor-stat { %type: descriptor-type, link-count: link-count,")
        W("   size: filesize, data-access-timestamp: option<datetime>,")
        W("   data-modification-timestamp: option<datetime>,")
        W("status-change-timestamp: option<datetime> }")
        W("  flags path-flags { symlink-follow }")
        W("  flags open-flags { create, directory, exclusive, truncate }")
        W("  variant new-timestamp { no-change, now, timestamp(datetime) }")
        W("  record directory-entry { %type: descriptor-type, name: string }")
        W("  enum error-code { access, would-block, already, bad-descriptor, busy, deadlock, quota,")
        W("   exist, file-too-large, illegal-byte-sequence, in-progress, interrupted, invalid, io,")
        W("   is-directory, loop, too-many-links, message-size, name-too-long, no-device, no-entry,")
        W("   no-lock, insufficient-memory, insufficient-space, not-directory, not-empty,")
        W("not-recoverable, unsupported, no-tty, no-such-device, overflow, not-permitted, pipe,")
        W("read-only, invalid-seek, text-file-busy, cross-device }")
        W("  enum advice { normal, sequential, random, will-need, dont-need, no-reuse }")
        W("  record metadata-hash-value { lower: u64, upper: u64 }")
        W("  resource directory-entry-stream {")
        W("read-directory-entry: func() -> result<option<directory-entry>, error-code>; }")
        W("  resource descriptor {")
        W("   read-via-stream: func(offset: filesize) -> result<input-stream, error-code>;")
        W("write-via-stream: func(offset: filesize) -> result<output-stream, error-code>;")
        W("append-via-stream: func() -> result<output-stream, error-code>;")
        W("advise: func(offset: filesize, length: filesize, advice: advice)")
        W("    -> result<_, error-code>;")
        W("   sync-data: func() -> result<_, error-code>; sync: func() -> result<_, error-code>;")
        W("get-flags: func() -> result<descriptor-flags, error-code>;")
        W("   get-type: func() -> result<descriptor-type, error-code>;")
        W(" set-size: func(size: filesize) -> result<_, error-code>;")
        W("   set-times: func(data-access-timestamp: new-timestamp,")
        W("    data-modification-timestamp: new-timestamp) -> result<_, error-code>;")
        W("   read: func(length: filesize, offset: filesize)")
        W("    -> result<tuple<list<u8>, bool>, error-code>;")
        W("   write: func(buffer: list<u8>, offset: filesize) -> result<filesize, error-code>;")
        W("   read-directory: func() -> result<directory-entry-stream, error-code>;")
        W("   create-directory-at: func(path: string) -> result<_, error-code>;")
        W("   stat: func() -> result<descriptor-stat, error-code>;")
        W("   stat-at: func(path-flags: path-flags, path: string)")
        W("    -> result<descriptor-stat, error-code>;")
        W("   set-times-at: func(path-flags: path-flags, path: string,")
        W("    data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp)")
        W("    -> result<_, error-code>;")
        W("   link-at: func(old-path-flags: path-flags, old-path: string,")
        W("    new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;")
        W("   open-at: func(path-flags: path-flags, path: string, open-flags: open-flags,")
        W("    %flags: descriptor-flags) -> result<descriptor, error-code>;")
        W("   readlink-at: func(path: string) -> result<string, error-code>;")
        W("   remove-directory-at: func(path: string) -> result<_, error-code>;")
        W("   rename-at: func(old-path: string, new-descriptor: borrow<descriptor>,")
        W("    new-path: string) -> result<_, error-code>;")
        W("   symlink-at: func(old-path: string, new-path: string) -> result<_, error-code>;")
        W("   unlink-file-at: func(path: string) -> result<_, error-code>;")
        W("   is-same-object: func(other: borrow<descriptor>) -> bool;")
        W("   metadata-hash: func() -> result<metadata-hash-value, error-code>;")
        W("   metadata-hash-at: func(path-flags: path-flags, path: string)")
        W("    -> result<metadata-hash-value, error-code>; }")
        W("  filesystem-error-code: func(err: borrow<error>) -> option<error-code>; }")
        W(" interface preopens { use types.{descriptor};")
        W("  get-directories: func() -> list<tuple<descriptor, string>>; } }")
        ".text\n");
/* clang-format on */
#undef W

#define P2(interface, function)                                                                    \
    __attribute__((import_module("wasi:" interface V), import_name(function)))
#define IN "[method]input-stream."
#define OUT "[method]output-stream."
#define FD "[method]descriptor."

/* What functions answer, as far as it is looked at: the first byte says whether it failed. */
struct p2_data { /* result<list<u8>, stream-error>; a list alone begins at ptr */
    uint32_t failed;
    union {
        uint8_t *ptr;
        uint8_t closed; /* of an error: 0 failed, with its resource; 1 closed */
    };
    uint32_t len; /* or the error's handle */
    uint8_t end;  /* of descriptor.read */
};
struct p2_count { /* result<u64, stream-error> */
    uint64_t failed;
    union {
        uint64_t n;
        struct {
            uint8_t closed;
            uint32_t error;
        };
    };
};
struct p2_done { /* result<_, stream-error> */
    uint32_t failed;
    uint32_t closed, error;
};
struct p2_own { /* result<own, error-code> */
    uint32_t failed;
    uint32_t n; /* a handle, or the error */
};
struct p2_byte { /* result<_, error-code>, result<flags, error-code>, option<error-code> */
    uint8_t failed, n;
};
struct p2_stat { /* result<descriptor-stat, error-code> */
    uint64_t failed;
    union {
        uint8_t type, error;
        uint64_t whole;
    };
    uint64_t links, size;
    struct {
        uint64_t has, seconds;
        uint64_t nanoseconds;
    } times[3];
};
struct p2_pair { /* result<record of two u64, error-code> */
    uint64_t failed, lower, upper;
};
struct p2_entry { /* result<option<directory-entry>, error-code> */
    uint32_t failed, has, type;
    char *name;
    uint32_t len;
};
struct p2_list {
    void *ptr;
    uint32_t len;
};

P2("io/error", "[method]error.to-debug-string") void error_text(uint32_t, struct p2_list *);
P2("io/error", "[resource-drop]error") void error_drop(uint32_t);
P2("io/poll", "[method]pollable.ready") bool poll_ready(uint32_t);
P2("io/poll", "[method]pollable.block") void poll_block(uint32_t);
P2("io/poll", "poll") void poll_many(const uint32_t *, uint32_t, struct p2_list *);
P2("io/poll", "[resource-drop]pollable") void poll_drop(uint32_t);
P2("io/streams", IN "read") void in_read(uint32_t, uint64_t, struct p2_data *);
P2("io/streams", IN "blocking-read") void in_blocking_read(uint32_t, uint64_t, struct p2_data *);
P2("io/streams", IN "skip") void in_skip(uint32_t, uint64_t, struct p2_count *);
P2("io/streams", IN "blocking-skip") void in_blocking_skip(uint32_t, uint64_t, struct p2_count *);
P2("io/streams", IN "subscribe") uint32_t in_subscribe(uint32_t);
P2("io/streams", "[resource-drop]input-stream") void in_drop(uint32_t);
P2("io/streams", OUT "check-write") void out_check(uint32_t, struct p2_count *);
P2("io/streams", OUT "write") void out_write(uint32_t, const void *, uint32_t, struct p2_done *);
P2("io/streams", OUT "blocking-write-and-flush")
void out_blocking_write(uint32_t, const void *, uint32_t, struct p2_done *);
P2("io/streams", OUT "flush") void out_flush(uint32_t, struct p2_done *);
P2("io/streams", OUT "blocking-flush") void out_blocking_flush(uint32_t, struct p2_done *);
P2("io/streams", OUT "subscribe") uint32_t out_subscribe(uint32_t);
P2("io/streams", OUT "write-zeroes") void out_zeroes(uint32_t, uint64_t, struct p2_done *);
P2("io/streams", OUT "blocking-write-zeroes-and-flush")
void out_blocking_zeroes(uint32_t, uint64_t, struct p2_done *);
P2("io/streams", OUT "splice") void out_splice(uint32_t, uint32_t, uint64_t, struct p2_count *);
P2("io/streams", OUT "blocking-splice")
void out_blocking_splice(uint32_t, uint32_t, uint64_t, struct p2_count *);
P2("io/streams", "[resource-drop]output-stream") void out_drop(uint32_t);
P2("clocks/monotonic-clock", "now") uint64_t mono_now(void);
P2("clocks/monotonic-clock", "resolution") uint64_t mono_resolution(void);
P2("clocks/monotonic-clock", "subscribe-instant") uint32_t mono_instant(uint64_t);
P2("clocks/monotonic-clock", "subscribe-duration") uint32_t mono_duration(uint64_t);
P2("clocks/wall-clock", "now") void wall_now(uint64_t *);
P2("clocks/wall-clock", "resolution") void wall_resolution(uint64_t *);
struct p2_zone {
    int32_t offset;
    const char *name;
    uint32_t name_len;
    uint8_t summer;
};
P2("clocks/timezone", "display") void zone_display(uint64_t, uint32_t, struct p2_zone *);
P2("clocks/timezone", "utc-offset") int32_t zone_offset(uint64_t, uint32_t);
P2("random/random", "get-random-bytes") void random_bytes(uint64_t, struct p2_list *);
P2("random/random", "get-random-u64") uint64_t random_u64(void);
P2("random/insecure", "get-insecure-random-bytes") void insecure_bytes(uint64_t, struct p2_list *);
P2("random/insecure", "get-insecure-random-u64") uint64_t insecure_u64(void);
P2("random/insecure-seed", "insecure-seed") void insecure_seed(uint64_t *);
P2("cli/environment", "get-environment") void environment(struct p2_list *);
P2("cli/environment", "get-arguments") void arguments(struct p2_list *);
P2("cli/environment", "initial-cwd") void initial_cwd(struct p2_data *);
P2("cli/exit", "exit") void cli_exit(uint32_t);
P2("cli/exit", "exit-with-code") void cli_exit_code(uint32_t);
P2("cli/stdin", "get-stdin") uint32_t get_stdin(void);
P2("cli/stdout", "get-stdout") uint32_t get_stdout(void);
P2("cli/stderr", "get-stderr") uint32_t get_stderr(void);
P2("cli/terminal-stdin", "get-terminal-stdin") void terminal_stdin(struct p2_own *);
P2("cli/terminal-stdout", "get-terminal-stdout") void terminal_stdout(struct p2_own *);
P2("cli/terminal-stderr", "get-terminal-stderr") void terminal_stderr(struct p2_own *);
#define FS(function) P2("filesystem/types", function)
FS(FD "read-via-stream") void fs_read_stream(uint32_t, uint64_t, struct p2_own *);
FS(FD "write-via-stream") void fs_write_stream(uint32_t, uint64_t, struct p2_own *);
FS(FD "append-via-stream") void fs_append_stream(uint32_t, struct p2_own *);
FS(FD "advise") void fs_advise(uint32_t, uint64_t, uint64_t, uint32_t, struct p2_byte *);
FS(FD "sync-data") void fs_sync_data(uint32_t, struct p2_byte *);
FS(FD "sync") void fs_sync(uint32_t, struct p2_byte *);
FS(FD "get-flags") void fs_flags(uint32_t, struct p2_byte *);
FS(FD "get-type") void fs_type(uint32_t, struct p2_byte *);
FS(FD "set-size") void fs_set_size(uint32_t, uint64_t, struct p2_byte *);
FS(FD "set-times")
void fs_times(uint32_t, uint32_t, uint64_t, uint32_t, uint32_t, uint64_t, uint32_t,
              struct p2_byte *);
FS(FD "read") void fs_read(uint32_t, uint64_t, uint64_t, struct p2_data *);
FS(FD "write") void fs_write(uint32_t, const void *, uint32_t, uint64_t, struct p2_count *);
FS(FD "read-directory") void fs_read_directory(uint32_t, struct p2_own *);
FS(FD "create-directory-at") void fs_mkdir(uint32_t, const char *, uint32_t, struct p2_byte *);
FS(FD "stat") void fs_stat(uint32_t, struct p2_stat *);
FS(FD "stat-at") void fs_stat_at(uint32_t, uint32_t, const char *, uint32_t, struct p2_stat *);
FS(FD "set-times-at")
void fs_times_at(uint32_t, uint32_t, const char *, uint32_t, uint32_t, uint64_t, uint32_t, uint32_t,
                 uint64_t, uint32_t, struct p2_byte *);
FS(FD "link-at")
void fs_link(uint32_t, uint32_t, const char *, uint32_t, uint32_t, const char *, uint32_t,
             struct p2_byte *);
FS(FD "open-at")
void fs_open(uint32_t, uint32_t, const char *, uint32_t, uint32_t, uint32_t, struct p2_own *);
FS(FD "readlink-at") void fs_readlink(uint32_t, const char *, uint32_t, struct p2_data *);
FS(FD "remove-directory-at") void fs_rmdir(uint32_t, const char *, uint32_t, struct p2_byte *);
FS(FD "rename-at")
void fs_rename(uint32_t, const char *, uint32_t, uint32_t, const char *, uint32_t,
               struct p2_byte *);
FS(FD "symlink-at")
void fs_symlink(uint32_t, const char *, uint32_t, const char *, uint32_t, struct p2_byte *);
FS(FD "unlink-file-at") void fs_unlink(uint32_t, const char *, uint32_t, struct p2_byte *);
FS(FD "is-same-object") bool fs_same(uint32_t, uint32_t);
FS(FD "metadata-hash") void fs_hash(uint32_t, struct p2_pair *);
FS(FD "metadata-hash-at")
void fs_hash_at(uint32_t, uint32_t, const char *, uint32_t, struct p2_pair *);
FS("[method]directory-entry-stream.read-directory-entry")
void fs_entry(uint32_t, struct p2_entry *);
FS("filesystem-error-code") void fs_error(uint32_t, struct p2_byte *);
FS("[resource-drop]descriptor") void fs_drop(uint32_t);
FS("[resource-drop]directory-entry-stream") void dir_drop(uint32_t);
P2("filesystem/preopens", "get-directories") void directories(struct p2_list *);

#endif
