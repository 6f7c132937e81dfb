;; A command without a memory: calls that need none work, others say EFAULT; the sum is its exit code.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "_start")
    (call $exit
      (i32.add (i32.add (call $yield) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.mul (i32.const 4) (call $close (i32.const 77)))))))
