// A Go reactor: exports skill_execute and an allocator, imports env-buffer and cis-io. Its heap is
// Go's own, so that the host's data has to come through the exported allocator.
package main

import (
	"encoding/json"
	"unsafe"
)

//go:wasmimport env host_memory_set
func memorySet(key unsafe.Pointer, klen uint32, val unsafe.Pointer, vlen uint32) int32

//go:wasmimport env host_memory_get
func memoryGet(key unsafe.Pointer, klen uint32, out unsafe.Pointer, olen uint32) int32

//go:wasmimport cis output_write
func outputWrite(ptr unsafe.Pointer, n uint32) int32

var blocks = map[uintptr][]byte{}

//go:wasmexport alloc
func alloc(size uint32) uint32 {
	block := make([]byte, size)
	ptr := uintptr(unsafe.Pointer(unsafe.SliceData(block)))
	blocks[ptr] = block
	return uint32(ptr)
}

//go:wasmexport dealloc
func dealloc(ptr, size uint32) {
	delete(blocks, uintptr(ptr))
}

//go:wasmexport skill_execute
func skillExecute(ptr, n uint32) int32 {
	input := blocks[uintptr(ptr)][:n]
	key := []byte("input")
	set := memorySet(unsafe.Pointer(&key[0]), uint32(len(key)), unsafe.Pointer(&input[0]), n)
	back := make([]byte, 1024)
	got := memoryGet(unsafe.Pointer(&key[0]), uint32(len(key)), unsafe.Pointer(&back[0]), 1024)
	var value any
	if got < 0 || json.Unmarshal(back[:got], &value) != nil {
		return 1
	}
	text, _ := json.Marshal(map[string]any{"set": set, "value": value})
	return outputWrite(unsafe.Pointer(&text[0]), uint32(len(text)))
}

//go:wasmexport add
func add(a, b int32) int32 { return a + b }

func main() {}
