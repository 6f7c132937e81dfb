/* WASI 0.2 as a C program sees it without a binding generator: the interfaces that it imports as
 * text (`cis component new` reads it), their functions as the canonical ABI flattens them, and
 * helpers that give results as C has them. Numbers of errors are those of the interface. */
#ifndef WASI_NET_H
#define WASI_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V "@0.2.12"
#define W(text) ".ascii \"" text "\\n\"\n"
/* clang-format off */
__asm__(".section \".custom_section.cis:wit\",\"\",@\n"
        W("package test:net;")
        W("world guest {")
        W(" import wasi:sockets/instance-network" V ";")
        W(" import wasi:sockets/tcp-create-socket" V ";")
        W(" import wasi:sockets/udp-create-socket" V ";")
        W(" import wasi:sockets/ip-name-lookup" V ";")
        W(" import wasi:clocks/monotonic-clock" V "; }")
        W("package wasi:io" V " {")
        W(" interface error { resource error { to-debug-string: func() -> string; } }")
        W(" interface poll { resource pollable { ready: func() -> bool; block: func(); }")
        W("  poll: func(in: list<borrow<pollable>>) -> list<u32>; }")
        W(" interface streams { use error.{error}; use poll.{pollable};")
        W("  variant stream-error { last-operation-failed(error), closed }")
        W("  resource input-stream {")
        W("   read: func(len: u64) -> result<list<u8>, stream-error>;")
        W("   blocking-read: func(len: u64) -> result<list<u8>, stream-error>;")
        W("   subscribe: func() -> pollable; }")
        W("  resource output-stream {")
        W("   check-write: func() -> result<u64, stream-error>;")
        W("   write: func(contents: list<u8>) -> result<_, stream-error>;")
        W("   blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;")
        W("   blocking-flush: func() -> result<_, stream-error>;")
        W("   splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;")
        W("   subscribe: func() -> pollable; } } }")
        W("package wasi:clocks" V " { interface monotonic-clock {")
        W(" use wasi:io/poll" V ".{pollable}; type instant = u64; type duration = u64;")
        W(" now: func() -> instant; subscribe-duration: func(when: duration) -> pollable; } }")
        W("package wasi:sockets" V " {")
        W(" interface network { use wasi:io/error" V ".{error}; resource network;")
        W("  enum error-code { unknown, access-denied, not-supported, invalid-argument,")
        W("   out-of-memory, timeout, concurrency-conflict, not-in-progress, would-block,")
        W("   invalid-state, new-socket-limit, address-not-bindable, address-in-use,")
        W("   remote-unreachable, connection-refused, connection-reset, connection-aborted,")
        W("   datagram-too-large, name-unresolvable, temporary-resolver-failure,")
        W("   permanent-resolver-failure }")
        W("  enum ip-address-family { ipv4, ipv6 }")
        W("  type ipv4-address = tuple<u8,u8,u8,u8>;")
        W("  type ipv6-address = tuple<u16,u16,u16,u16,u16,u16,u16,u16>;")
        W("  variant ip-address { ipv4(ipv4-address), ipv6(ipv6-address) }")
        W("  record ipv4-socket-address { port: u16, address: ipv4-address }")
        W("  record ipv6-socket-address { port: u16, flow-info: u32, address: ipv6-address,")
        W("   scope-id: u32 }")
        W("  variant ip-socket-address { ipv4(ipv4-socket-address), ipv6(ipv6-socket-address) }")
        W("  network-error-code: func(err: borrow<error>) -> option<error-code>; }")
        W(" interface instance-network { use network.{network};")
        W("  instance-network: func() -> network; }")
        W(" interface ip-name-lookup { use wasi:io/poll" V ".{pollable};")
        W("  use network.{network, error-code, ip-address};")
        W("  resource resolve-address-stream { subscribe: func() -> pollable;")
        W("   resolve-next-address: func() -> result<option<ip-address>, error-code>; }")
        W("  resolve-addresses: func(network: borrow<network>, name: string)")
        W("   -> result<resolve-address-stream, error-code>; }")
        W(" interface tcp { use wasi:io/streams" V ".{input-stream, output-stream};")
        W("  use wasi:io/poll" V ".{pollable};")
        W("  use wasi:clocks/monotonic-clock" V ".{duration};")
        W("  use network.{network, error-code, ip-socket-address, ip-address-family};")
        W("  enum shutdown-type { receive, send, both }")
        W("  resource tcp-socket {")
        W("   start-bind: func(network: borrow<network>, local-address: ip-socket-address)")
        W("    -> result<_, error-code>;")
        W("   finish-bind: func() -> result<_, error-code>;")
        W("   start-connect: func(network: borrow<network>, remote-address: ip-socket-address)")
        W("    -> result<_, error-code>;")
        W("   finish-connect: func() -> result<tuple<input-stream, output-stream>, error-code>;")
        W("   start-listen: func() -> result<_, error-code>;")
        W("   finish-listen: func() -> result<_, error-code>;")
        W("   accept: func() -> result<tuple<tcp-socket, input-stream, output-stream>,")
        W("    error-code>;")
        W("   local-address: func() -> result<ip-socket-address, error-code>;")
        W("   remote-address: func() -> result<ip-socket-address, error-code>;")
        W("   is-listening: func() -> bool; address-family: func() -> ip-address-family;")
        W("   set-listen-backlog-size: func(value: u64) -> result<_, error-code>;")
        W("   keep-alive-enabled: func() -> result<bool, error-code>;")
        W("   set-keep-alive-enabled: func(value: bool) -> result<_, error-code>;")
        W("   keep-alive-idle-time: func() -> result<duration, error-code>;")
        W("   set-keep-alive-idle-time: func(value: duration) -> result<_, error-code>;")
        W("   keep-alive-interval: func() -> result<duration, error-code>;")
        W("   set-keep-alive-interval: func(value: duration) -> result<_, error-code>;")
        W("   keep-alive-count: func() -> result<u32, error-code>;")
        W("   set-keep-alive-count: func(value: u32) -> result<_, error-code>;")
        W("   hop-limit: func() -> result<u8, error-code>;")
        W("   set-hop-limit: func(value: u8) -> result<_, error-code>;")
        W("   receive-buffer-size: func() -> result<u64, error-code>;")
        W("   set-receive-buffer-size: func(value: u64) -> result<_, error-code>;")
        W("   send-buffer-size: func() -> result<u64, error-code>;")
        W("   set-send-buffer-size: func(value: u64) -> result<_, error-code>;")
        W("   subscribe: func() -> pollable;")
        W("   shutdown: func(shutdown-type: shutdown-type) -> result<_, error-code>; } }")
        W(" interface tcp-create-socket { use network.{error-code, ip-address-family};")
        W("  use tcp.{tcp-socket};")
        W("  create-tcp-socket: func(address-family: ip-address-family)")
        W("   -> result<tcp-socket, error-code>; }")
        W(" interface udp { use wasi:io/poll" V ".{pollable};")
        W("  use network.{network, error-code, ip-socket-address, ip-address-family};")
        W("  record incoming-datagram { data: list<u8>, remote-address: ip-socket-address }")
        W("  record outgoing-datagram { data: list<u8>,")
        W("   remote-address: option<ip-socket-address> }")
        W("  resource udp-socket {")
        W("   start-bind: func(network: borrow<network>, local-address: ip-socket-address)")
        W("    -> result<_, error-code>;")
        W("   finish-bind: func() -> result<_, error-code>;")
        W("   %stream: func(remote-address: option<ip-socket-address>)")
        W("    -> result<tuple<incoming-datagram-stream, outgoing-datagram-stream>, error-code>;")
        W("   local-address: func() -> result<ip-socket-address, error-code>;")
        W("   remote-address: func() -> result<ip-socket-address, error-code>;")
        W("   address-family: func() -> ip-address-family;")
        W("   unicast-hop-limit: func() -> result<u8, error-code>;")
        W("   set-unicast-hop-limit: func(value: u8) -> result<_, error-code>;")
        W("   receive-buffer-size: func() -> result<u64, error-code>;")
        W("   set-receive-buffer-size: func(value: u64) -> result<_, error-code>;")
        W("   send-buffer-size: func() -> result<u64, error-code>;")
        W("   set-send-buffer-size: func(value: u64) -> result<_, error-code>;")
        W("   subscribe: func() -> pollable; }")
        W("  resource incoming-datagram-stream {")
        W("   receive: func(max-results: u64) -> result<list<incoming-datagram>, error-code>;")
        W("   subscribe: func() -> pollable; }")
        W("  resource outgoing-datagram-stream {")
        W("   check-send: func() -> result<u64, error-code>;")
        W("   send: func(datagrams: list<outgoing-datagram>) -> result<u64, error-code>;")
        W("   subscribe: func() -> pollable; } }")
        W(" interface udp-create-socket { use network.{error-code, ip-address-family};")
        W("  use udp.{udp-socket};")
        W("  create-udp-socket: func(address-family: ip-address-family)")
        W("   -> result<udp-socket, error-code>; } }")
        ".text\n");
/* clang-format on */

#define IMPORT(module, name)                                                                       \
    __attribute__((import_module("wasi:" module V), import_name(name))) extern
typedef uint32_t handle;

/* To be called first in main. A program that does so itself has exports as they are; else the
 * linker runs all of a program's start and end around each of them, and the host may not be called
 * from cabi_realloc. */
void __wasm_call_ctors(void);

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_len,
                                                                size_t align, size_t len)
{
    (void)old_len, (void)align;
    return len != 0 ? realloc(old, len) : (void *)align;
}

/* ---- io ---- */
#define POLL "io/poll"
#define STREAMS "io/streams"
IMPORT("io/error", "[resource-drop]error") void drop_error(handle h);
IMPORT(POLL, "[resource-drop]pollable") void drop_pollable(handle h);
IMPORT(POLL, "[method]pollable.ready") bool pollable_ready(handle h);
IMPORT(POLL, "[method]pollable.block") void pollable_block(handle h);
IMPORT(POLL, "poll") void poll_many(const handle *list, size_t n, void *out);
IMPORT(STREAMS, "[resource-drop]input-stream") void drop_in(handle h);
IMPORT(STREAMS, "[resource-drop]output-stream") void drop_out(handle h);
IMPORT(STREAMS, "[method]input-stream.read") void in_read(handle h, uint64_t n, void *out);
IMPORT(STREAMS, "[method]input-stream.blocking-read")
void in_blocking_read(handle h, uint64_t n, void *out);
IMPORT(STREAMS, "[method]input-stream.subscribe") handle in_subscribe(handle h);
IMPORT(STREAMS, "[method]output-stream.check-write") void out_check(handle h, void *out);
IMPORT(STREAMS, "[method]output-stream.write")
void out_write(handle h, const void *at, size_t n, void *out);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void out_blocking_write(handle h, const void *at, size_t n, void *out);
IMPORT(STREAMS, "[method]output-stream.blocking-flush") void out_blocking_flush(handle h, void *o);
IMPORT(STREAMS, "[method]output-stream.splice")
void out_splice(handle h, handle from, uint64_t n, void *out);
IMPORT(STREAMS, "[method]output-stream.subscribe") handle out_subscribe(handle h);
IMPORT("clocks/monotonic-clock", "subscribe-duration") handle subscribe_duration(uint64_t ns);

/* ---- sockets ---- */
#define FLAT_ADDRESS                                                                               \
    int32_t is, int32_t a0, int32_t a1, int32_t a2, int32_t a3, int32_t a4, int32_t a5,            \
        int32_t a6, int32_t a7, int32_t a8, int32_t a9, int32_t a10
#define TCP "sockets/tcp"
#define UDP "sockets/udp"
#define LOOKUP "sockets/ip-name-lookup"
IMPORT("sockets/network", "[resource-drop]network") void drop_network(handle h);
IMPORT("sockets/network", "network-error-code") void network_error_code(handle e, void *out);
IMPORT("sockets/instance-network", "instance-network") handle instance_network(void);
IMPORT(LOOKUP, "[resource-drop]resolve-address-stream") void drop_lookup(handle h);
IMPORT(LOOKUP, "resolve-addresses")
void resolve_addresses(handle net, const char *at, size_t n, void *out);
IMPORT(LOOKUP, "[method]resolve-address-stream.resolve-next-address")
void resolve_next(handle h, void *out);
IMPORT(LOOKUP, "[method]resolve-address-stream.subscribe") handle resolve_subscribe(handle h);
IMPORT("sockets/tcp-create-socket", "create-tcp-socket") void tcp_create(int32_t family, void *o);
IMPORT("sockets/udp-create-socket", "create-udp-socket") void udp_create(int32_t family, void *o);
#define OF_SOCKET(kind, path, name)                                                                \
    IMPORT(path, "[resource-drop]" name) void drop_##kind(handle h);                               \
    IMPORT(path, "[method]" name ".start-bind")                                                    \
    void kind##_start_bind(handle h, handle net, FLAT_ADDRESS, void *out);                         \
    IMPORT(path, "[method]" name ".finish-bind") void kind##_finish_bind(handle h, void *out);     \
    IMPORT(path, "[method]" name ".local-address") void kind##_local(handle h, void *out);         \
    IMPORT(path, "[method]" name ".remote-address") void kind##_remote(handle h, void *out);       \
    IMPORT(path, "[method]" name ".address-family") int32_t kind##_family(handle h);               \
    IMPORT(path, "[method]" name ".receive-buffer-size") void kind##_receive_size(handle, void *); \
    IMPORT(path, "[method]" name ".set-receive-buffer-size")                                       \
    void kind##_set_receive_size(handle h, uint64_t n, void *out);                                 \
    IMPORT(path, "[method]" name ".send-buffer-size") void kind##_send_size(handle, void *);       \
    IMPORT(path, "[method]" name ".set-send-buffer-size")                                          \
    void kind##_set_send_size(handle h, uint64_t n, void *out);                                    \
    IMPORT(path, "[method]" name ".subscribe") handle kind##_subscribe(handle h)
OF_SOCKET(tcp, TCP, "tcp-socket");
OF_SOCKET(udp, UDP, "udp-socket");
#define M(n) "[method]tcp-socket." n
IMPORT(TCP, M("start-connect")) void tcp_start_connect(handle h, handle net, FLAT_ADDRESS, void *);
IMPORT(TCP, M("finish-connect")) void tcp_finish_connect(handle h, void *out);
IMPORT(TCP, M("start-listen")) void tcp_start_listen(handle h, void *out);
IMPORT(TCP, M("finish-listen")) void tcp_finish_listen(handle h, void *out);
IMPORT(TCP, M("accept")) void tcp_accept(handle h, void *out);
IMPORT(TCP, M("is-listening")) bool tcp_is_listening(handle h);
IMPORT(TCP, M("set-listen-backlog-size")) void tcp_set_backlog(handle h, uint64_t n, void *out);
IMPORT(TCP, M("keep-alive-enabled")) void tcp_keep_alive(handle h, void *out);
IMPORT(TCP, M("set-keep-alive-enabled")) void tcp_set_keep_alive(handle h, int32_t on, void *out);
IMPORT(TCP, M("keep-alive-idle-time")) void tcp_idle(handle h, void *out);
IMPORT(TCP, M("set-keep-alive-idle-time")) void tcp_set_idle(handle h, uint64_t n, void *out);
IMPORT(TCP, M("keep-alive-interval")) void tcp_interval(handle h, void *out);
IMPORT(TCP, M("set-keep-alive-interval")) void tcp_set_interval(handle h, uint64_t n, void *out);
IMPORT(TCP, M("keep-alive-count")) void tcp_count(handle h, void *out);
IMPORT(TCP, M("set-keep-alive-count")) void tcp_set_count(handle h, int32_t n, void *out);
IMPORT(TCP, M("hop-limit")) void tcp_hops(handle h, void *out);
IMPORT(TCP, M("set-hop-limit")) void tcp_set_hops(handle h, int32_t n, void *out);
IMPORT(TCP, M("shutdown")) void tcp_shutdown(handle h, int32_t how, void *out);
#undef M
IMPORT(UDP, "[method]udp-socket.stream")
void udp_stream(handle h, int32_t has, FLAT_ADDRESS, void *out);
IMPORT(UDP, "[method]udp-socket.unicast-hop-limit") void udp_hops(handle h, void *out);
IMPORT(UDP, "[method]udp-socket.set-unicast-hop-limit")
void udp_set_hops(handle h, int32_t n, void *out);
IMPORT(UDP, "[resource-drop]incoming-datagram-stream") void drop_udp_in(handle h);
IMPORT(UDP, "[resource-drop]outgoing-datagram-stream") void drop_udp_out(handle h);
IMPORT(UDP, "[method]incoming-datagram-stream.receive")
void udp_receive(handle h, uint64_t n, void *out);
IMPORT(UDP, "[method]incoming-datagram-stream.subscribe") handle udp_in_subscribe(handle h);
IMPORT(UDP, "[method]outgoing-datagram-stream.check-send") void udp_check(handle h, void *out);
IMPORT(UDP, "[method]outgoing-datagram-stream.send")
void udp_send(handle h, const void *list, size_t n, void *out);
IMPORT(UDP, "[method]outgoing-datagram-stream.subscribe") handle udp_out_subscribe(handle h);

/* ---- results ---- */
enum {
    OK = -1,
    UNKNOWN,
    DENIED,
    UNSUPPORTED,
    INVALID,
    NO_MEMORY,
    TIMEOUT,
    CONFLICT,
    NOT_IN_PROGRESS,
    AGAIN,
    STATE,
    LIMIT,
    NOT_BINDABLE,
    IN_USE,
    UNREACHABLE,
    REFUSED,
    RESET,
    ABORTED,
    TOO_LARGE,
    NO_NAME,
    TRY_LATER,
    NO_RESOLVER,
    CLOSED = 100,
    FAILED
};

union result {
    uint8_t b[64];
    uint16_t h[32];
    uint32_t w[16];
    uint64_t d[8];
};
/* The error of a result whose payload begins at `at`; OK without. */
static inline int error_at(const union result *r, size_t at)
{
    return r->b[0] != 0 ? r->b[at] : OK;
}

struct address {
    bool v6;
    uint16_t port;
    uint8_t ip[16];
};
static inline struct address loopback(bool v6, uint16_t port)
{
    struct address a = {.v6 = v6, .port = port, .ip = {127, 0, 0, 1}};
    if (v6) {
        memset(a.ip, 0, 16);
        a.ip[15] = 1;
    }
    return a;
}
static inline int32_t word(const struct address *a, int i)
{
    return a->ip[2 * i] << 8 | a->ip[2 * i + 1];
}
/* As the canonical ABI flattens it. */
#define FLAT(a)                                                                                    \
    (a).v6, (a).port, (a).v6 ? 0 : (a).ip[0], (a).v6 ? word(&(a), 0) : (a).ip[1],                  \
        (a).v6 ? word(&(a), 1) : (a).ip[2], (a).v6 ? word(&(a), 2) : (a).ip[3],                    \
        (a).v6 ? word(&(a), 3) : 0, (a).v6 ? word(&(a), 4) : 0, (a).v6 ? word(&(a), 5) : 0,        \
        (a).v6 ? word(&(a), 6) : 0, (a).v6 ? word(&(a), 7) : 0, 0
/* An ip-socket-address in memory. */
static inline struct address address_at(const void *at)
{
    const uint8_t *p = at;
    struct address a = {.v6 = p[0] != 0};
    memcpy(&a.port, p + 4, 2);
    if (!a.v6) {
        memcpy(a.ip, p + 6, 4);
        return a;
    }
    for (int i = 0; i < 8; i++) {
        uint16_t w;
        memcpy(&w, p + 12 + 2 * i, 2);
        a.ip[2 * i] = (uint8_t)(w >> 8);
        a.ip[2 * i + 1] = (uint8_t)w;
    }
    return a;
}
static inline void address_to(const struct address *a, void *at)
{
    uint8_t *p = at;
    memset(p, 0, 32);
    p[0] = a->v6;
    memcpy(p + 4, &a->port, 2);
    if (!a->v6) {
        memcpy(p + 6, a->ip, 4);
        return;
    }
    for (int i = 0; i < 8; i++) {
        uint16_t w = (uint16_t)word(a, i);
        memcpy(p + 12 + 2 * i, &w, 2);
    }
}

/* Streams: bytes, or CLOSED, FAILED with the network's error (-1: none). */
static int stream_code(const union result *r, int *out_network)
{
    if (r->b[4] == 1) {
        return CLOSED;
    }
    uint8_t code[2] = {0};
    network_error_code(r->w[2], code);
    *out_network = code[0] != 0 ? code[1] : -1;
    drop_error(r->w[2]);
    return FAILED;
}

#endif
