;; Imports all of cis:skill and calls one function of it, chosen by the first letter of the input;
;; the rest of the input is the argument. The answer is what the function gave, "none", "ok", or
;; "err N" with the number of the error's case.
(component
  (import "cis:skill/memory@0.1.0" (instance $memory
    (type $e (variant (case "denied") (case "invalid" string) (case "too-large" u64)
      (case "limit") (case "not-text") (case "unavailable") (case "timeout") (case "failed")))
    (export "error" (type $error (eq $e)))
    (type $h (record (field "key" string) (field "value" string) (field "domain" string)
      (field "category" string)))
    (export "hit" (type $hit (eq $h)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
    (export "get-bytes" (func (param "key" string)
      (result (result (option (list u8)) (error $error)))))
    (export "set" (func (param "key" string) (param "value" string)
      (result (result (error $error)))))
    (export "set-bytes" (func (param "key" string) (param "value" (list u8))
      (result (result (error $error)))))
    (export "delete" (func (param "key" string) (result (result (error $error)))))
    (export "search" (func (param "query" string)
      (result (result (list $hit) (error $error)))))))
  ;; Another patch of the same version is the same interface.
  (import "cis:skill/ai@0.1.7" (instance $ai
    (type $e (variant (case "denied") (case "invalid" string) (case "too-large" u64)
      (case "limit") (case "not-text") (case "unavailable") (case "timeout") (case "failed")))
    (export "error" (type $error (eq $e)))
    (export "chat" (func (param "prompt" string) (result (result string (error $error)))))))
  (import "cis:skill/http@0.1.0" (instance $http
    (type $e (variant (case "denied") (case "invalid" string) (case "too-large" u64)
      (case "limit") (case "not-text") (case "unavailable") (case "timeout") (case "failed")))
    (export "error" (type $error (eq $e)))
    (type $b (variant (case "none") (case "text" string) (case "bytes" (list u8))))
    (export "body" (type $body (eq $b)))
    (type $q (record (field "method" string) (field "url" string)
      (field "headers" (list (tuple string string))) (field "body" $body)))
    (export "request" (type $request (eq $q)))
    (type $r (record (field "status" u16) (field "headers" (list (tuple string string)))
      (field "body" $body)))
    (export "response" (type $response (eq $r)))
    (export "send" (func (param "request" $request)
      (result (result $response (error $error)))))))
  (import "cis:skill/log@0.1.0" (instance $log
    (type $l (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $l)))
    (export "log" (func (param "level" $level) (param "message" string)))))
  (import "cis:skill/agent@0.1.0" (instance $agent
    (type $e (variant (case "denied") (case "invalid" string) (case "too-large" u64)
      (case "limit") (case "not-text") (case "unavailable") (case "timeout") (case "failed")))
    (export "error" (type $error (eq $e)))
    (export "ask" (func (param "key" string) (param "request" string)
      (result (result (option string) (error $error)))))
    (export "progress" (func (param "done" u64) (param "total" (option u64))
      (param "message" string)))))
  (import "cis:skill/config@0.1.0" (instance $config
    (type $e (variant (case "denied") (case "invalid" string) (case "too-large" u64)
      (case "limit") (case "not-text") (case "unavailable") (case "timeout") (case "failed")))
    (export "error" (type $error (eq $e)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
    (export "set" (func (param "key" string) (param "value" string)
      (result (result (error $error)))))))

  (core module $libc
    (memory (export "memory") 1)
    (global $at (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $was i32) (param i32) (param $size i32)
        (result i32)
      (local $p i32) (local $pages i32)
      (local.set $p (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))
      (global.set $at (i32.add (local.get $p) (local.get $size)))
      (local.set $pages (i32.sub (i32.shr_u (i32.add (global.get $at) (i32.const 65535))
        (i32.const 16)) (memory.size)))
      (if (i32.gt_s (local.get $pages) (i32.const 0)) (then
        (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))))
      (memory.copy (local.get $p) (local.get $old) (local.get $was))
      (local.get $p)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $mget (canon lower (func $memory "get") (memory $mem) (realloc $realloc)))
  (core func $mgetb (canon lower (func $memory "get-bytes") (memory $mem) (realloc $realloc)))
  (core func $mset (canon lower (func $memory "set") (memory $mem) (realloc $realloc)))
  (core func $msetb (canon lower (func $memory "set-bytes") (memory $mem) (realloc $realloc)))
  (core func $mdel (canon lower (func $memory "delete") (memory $mem) (realloc $realloc)))
  (core func $msearch (canon lower (func $memory "search") (memory $mem) (realloc $realloc)))
  (core func $chat (canon lower (func $ai "chat") (memory $mem) (realloc $realloc)))
  (core func $send (canon lower (func $http "send") (memory $mem) (realloc $realloc)))
  (core func $log (canon lower (func $log "log") (memory $mem) (realloc $realloc)))
  (core func $cget (canon lower (func $config "get") (memory $mem) (realloc $realloc)))
  (core func $cset (canon lower (func $config "set") (memory $mem) (realloc $realloc)))
  (core func $ask (canon lower (func $agent "ask") (memory $mem) (realloc $realloc)))
  (core func $progress (canon lower (func $agent "progress") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "libc" "memory" (memory 1))
    (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "cis" "mget" (func $mget (param i32 i32 i32)))
    (import "cis" "mgetb" (func $mgetb (param i32 i32 i32)))
    (import "cis" "mset" (func $mset (param i32 i32 i32 i32 i32)))
    (import "cis" "msetb" (func $msetb (param i32 i32 i32 i32 i32)))
    (import "cis" "mdel" (func $mdel (param i32 i32 i32)))
    (import "cis" "msearch" (func $msearch (param i32 i32 i32)))
    (import "cis" "chat" (func $chat (param i32 i32 i32)))
    (import "cis" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "cis" "log" (func $log (param i32 i32 i32)))
    (import "cis" "cget" (func $cget (param i32 i32 i32)))
    (import "cis" "cset" (func $cset (param i32 i32 i32 i32 i32)))
    (import "cis" "ask" (func $ask (param i32 i32 i32 i32 i32)))
    (import "cis" "progress" (func $progress (param i64 i32 i64 i32 i32)))
    (data (i32.const 16) "kGETPOSTX-Askyes")
    (data (i32.const 64) "err 0")
    (data (i32.const 72) "ok")
    (data (i32.const 80) "none")
    (data (i32.const 96) "\ff\fe")
    ;; One header, X-Ask: yes.
    (data (i32.const 128) "\18\00\00\00\05\00\00\00\1d\00\00\00\03\00\00\00")
    ;; result<string, string> at 2048
    (func $answer (param $case i32) (param $ptr i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 2048) (local.get $case))
      (i32.store (i32.const 2052) (local.get $ptr))
      (i32.store (i32.const 2056) (local.get $len))
      (i32.const 2048))
    ;; What a function left at 1024: kind 0 nothing, 1 option of text, 2 text, 3 hits, 4 response.
    (func $told (param $kind i32) (result i32)
      (if (i32.load8_u (i32.const 1024)) (then
        (i32.store8 (i32.const 68) (i32.add (i32.const 48) (i32.load8_u (i32.const 1032))))
        (return (call $answer (i32.const 0) (i32.const 64) (i32.const 5)))))
      (if (i32.eqz (local.get $kind)) (then
        (return (call $answer (i32.const 0) (i32.const 72) (i32.const 2)))))
      (if (i32.eq (local.get $kind) (i32.const 1)) (then
        (if (i32.load8_u (i32.const 1032)) (then
          (return (call $answer (i32.const 0) (i32.load (i32.const 1036))
            (i32.load (i32.const 1040))))))
        (return (call $answer (i32.const 0) (i32.const 80) (i32.const 4)))))
      (if (i32.eq (local.get $kind) (i32.const 3)) (then
        (if (i32.load (i32.const 1036)) (then
          (return (call $answer (i32.const 0)
            (i32.load offset=8 (i32.load (i32.const 1032)))
            (i32.load offset=12 (i32.load (i32.const 1032)))))))
        (return (call $answer (i32.const 0) (i32.const 80) (i32.const 4)))))
      (if (i32.eq (local.get $kind) (i32.const 4)) (then
        (if (i32.load8_u (i32.const 1044)) (then
          (return (call $answer (i32.const 0) (i32.load (i32.const 1048))
            (i32.load (i32.const 1052))))))
        (return (call $answer (i32.const 0) (i32.const 80) (i32.const 4)))))
      (call $answer (i32.const 0) (i32.load (i32.const 1032)) (i32.load (i32.const 1036))))
    (func $inner_most unreachable)
    (func (export "run") (param $p i32) (param $n i32) (result i32)
      (local $c i32)
      (if (i32.eqz (local.get $n)) (then
        (return (call $answer (i32.const 0) (i32.const 72) (i32.const 2)))))
      ;; A JSON string without its quotes.
      (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 34)) (then
        (local.set $p (i32.add (local.get $p) (i32.const 1)))
        (local.set $n (i32.sub (local.get $n) (i32.const 2)))))
      (local.set $c (i32.load8_u (local.get $p)))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      ;; g
      (if (i32.eq (local.get $c) (i32.const 103)) (then
        (call $mget (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 1)))))
      ;; G
      (if (i32.eq (local.get $c) (i32.const 71)) (then
        (call $mgetb (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 1)))))
      ;; s
      (if (i32.eq (local.get $c) (i32.const 115)) (then
        (call $mset (i32.const 16) (i32.const 1) (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; S
      (if (i32.eq (local.get $c) (i32.const 83)) (then
        (call $msetb (i32.const 16) (i32.const 1) (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; d
      (if (i32.eq (local.get $c) (i32.const 100)) (then
        (call $mdel (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; q
      (if (i32.eq (local.get $c) (i32.const 113)) (then
        (call $msearch (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 3)))))
      ;; a
      (if (i32.eq (local.get $c) (i32.const 97)) (then
        (call $chat (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 2)))))
      ;; h
      (if (i32.eq (local.get $c) (i32.const 104)) (then
        (call $send (i32.const 17) (i32.const 3) (local.get $p) (local.get $n) (i32.const 128) (i32.const 1)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024)) (return (call $told (i32.const 4)))))
      ;; H
      (if (i32.eq (local.get $c) (i32.const 72)) (then
        (call $send (i32.const 20) (i32.const 4) (local.get $p) (local.get $n) (i32.const 0) (i32.const 0)
          (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 1024)) (return (call $told (i32.const 4)))))
      ;; l
      (if (i32.eq (local.get $c) (i32.const 108)) (then
        (call $log (i32.const 3) (local.get $p) (local.get $n))
        (return (call $answer (i32.const 0) (i32.const 72) (i32.const 2)))))
      ;; c
      (if (i32.eq (local.get $c) (i32.const 99)) (then
        (call $cget (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 1)))))
      ;; C
      (if (i32.eq (local.get $c) (i32.const 67)) (then
        (call $cset (i32.const 16) (i32.const 1) (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; i
      (if (i32.eq (local.get $c) (i32.const 105)) (then
        (call $ask (i32.const 16) (i32.const 1) (local.get $p) (local.get $n) (i32.const 1024)) (return (call $told (i32.const 1)))))
      ;; o
      (if (i32.eq (local.get $c) (i32.const 111)) (then
        (call $progress (i64.const 3) (i32.const 1) (i64.const 4) (local.get $p) (local.get $n))
        (return (call $answer (i32.const 0) (i32.const 72) (i32.const 2)))))
      ;; e
      (if (i32.eq (local.get $c) (i32.const 101)) (then
        (return (call $answer (i32.const 0) (local.get $p) (local.get $n)))))
      ;; E
      (if (i32.eq (local.get $c) (i32.const 69)) (then
        (return (call $answer (i32.const 1) (local.get $p) (local.get $n)))))
      ;; T
      (if (i32.eq (local.get $c) (i32.const 84)) (then
        (call $inner_most)))
      ;; L
      (if (i32.eq (local.get $c) (i32.const 76)) (then
        (loop $l (br $l))))
      ;; U
      (if (i32.eq (local.get $c) (i32.const 85)) (then
        (return (call $answer (i32.const 0) (i32.const 96) (i32.const 2)))))
      ;; P
      (if (i32.eq (local.get $c) (i32.const 80)) (then
        (return (call $answer (i32.const 0) (i32.const -16) (i32.const 15)))))
      ;; V
      (if (i32.eq (local.get $c) (i32.const 86)) (then
        (return (call $answer (i32.const 7) (i32.const 0) (i32.const 0)))))
      ;; X
      (if (i32.eq (local.get $c) (i32.const 88)) (then
        (call $msetb (i32.const 16) (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; Y
      (if (i32.eq (local.get $c) (i32.const 89)) (then
        (call $mset (i32.const 16) (i32.const 1) (i32.const 96) (i32.const 2) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; B
      (if (i32.eq (local.get $c) (i32.const 66)) (then
        (drop (memory.grow (i32.const 96)))
        (call $msetb (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 2000000) (i32.const 1024)) (return (call $told (i32.const 0)))))
      ;; M
      (if (i32.eq (local.get $c) (i32.const 77)) (then
        (loop $m (br_if $m (i32.ne (memory.grow (i32.const 256)) (i32.const -1))))
        (drop (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0x7fff0000)))))
      (call $answer (i32.const 1) (i32.const 80) (i32.const 4))))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "cis" (instance
      (export "mget" (func $mget))
      (export "mgetb" (func $mgetb))
      (export "mset" (func $mset))
      (export "msetb" (func $msetb))
      (export "mdel" (func $mdel))
      (export "msearch" (func $msearch))
      (export "chat" (func $chat))
      (export "send" (func $send))
      (export "log" (func $log))
      (export "cget" (func $cget))
      (export "ask" (func $ask))
      (export "progress" (func $progress))
      (export "cset" (func $cset))))))
  (func (export "run") (param "input" string) (result (result string (error string)))
    (canon lift (core func $main "run") (memory $mem) (realloc $realloc))))
