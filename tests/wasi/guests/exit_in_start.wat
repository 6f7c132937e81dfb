;; A program may end before it begins.
(module
  (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $first (call $exit (i32.const 11)))
  (start $first)
  (func (export "_start") unreachable))
