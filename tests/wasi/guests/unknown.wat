;; Imports that nobody provides: each is named.
(module
  (import "wasi_snapshot_preview1" "fd_telepathy" (func $a (param i32) (result i32)))
  (import "somebody" "something" (func $b))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 5))))
