;; The start function runs before _start.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $n (mut i32) (i32.const 1))
  (func $first (global.set $n (i32.mul (global.get $n) (i32.const 10))))
  (start $first)
  (func (export "_start") (call $exit (i32.add (global.get $n) (i32.const 3)))))
