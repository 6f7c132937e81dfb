;; proc_raise of what ends a program, in the old module.
(module
  (import "wasi_unstable" "proc_raise" (func $raise (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $raise (i32.const 6))) unreachable))
