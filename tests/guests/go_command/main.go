// A plain Go command: JSON on stdin, its answer on stdout, host functions of env-plain.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"unsafe"
)

//go:wasmimport env memory_set
func memorySet(key unsafe.Pointer, klen uint32, val unsafe.Pointer, vlen uint32) int32

//go:wasmimport env log
func hostLog(level unsafe.Pointer, llen uint32, msg unsafe.Pointer, mlen uint32)

func at(text string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))
}

func main() {
	var input struct{ Name string }
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	level, llen := at("info")
	msg, mlen := at("hello from Go")
	hostLog(level, llen, msg, mlen)
	key, klen := at("name")
	val, vlen := at(input.Name)
	code := memorySet(key, klen, val, vlen)
	json.NewEncoder(os.Stdout).Encode(map[string]any{"hello": input.Name, "set": code})
}
