// Package cis is what a skill written in Go sees of its host: input and output, memory, AI, HTTP
// and a log. Every call is answered under the grants of the run; ErrDenied means the user did not
// grant it. Build with GOOS=wasip1 GOARCH=wasm.
package cis

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unsafe"
)

var (
	ErrDenied = errors.New("permission denied")
	ErrAbsent = errors.New("not found")
)

// Level of a log line.
type Level int32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

//go:wasmimport cis host_log
func hostLog(level int32, ptr unsafe.Pointer, n int32)

//go:wasmimport cis host_memory_get
func hostMemoryGet(key unsafe.Pointer, keyLen int32, out unsafe.Pointer, size int32) int32

//go:wasmimport cis host_memory_set
func hostMemorySet(key unsafe.Pointer, keyLen int32, value unsafe.Pointer, n int32) int32

//go:wasmimport cis host_memory_delete
func hostMemoryDelete(key unsafe.Pointer, keyLen int32) int32

//go:wasmimport cis host_ai_chat
func hostAIChat(prompt unsafe.Pointer, n int32, out unsafe.Pointer, size int32) int32

//go:wasmimport cis input_len
func inputLen() int64

//go:wasmimport cis input_read
func inputRead(offset int64, ptr unsafe.Pointer, size int32) int32

//go:wasmimport cis output_write
func outputWrite(ptr unsafe.Pointer, n int32) int32

//go:wasmimport env host_http_request
func hostHTTPRequest(method unsafe.Pointer, methodLen int32, url unsafe.Pointer, urlLen int32,
	headers unsafe.Pointer, headersLen int32, body unsafe.Pointer, bodyLen int32,
	out unsafe.Pointer, size int32) int32

func text(s string) (unsafe.Pointer, int32) {
	return unsafe.Pointer(unsafe.StringData(s)), int32(len(s))
}

func bytes(b []byte) (unsafe.Pointer, int32) {
	return unsafe.Pointer(unsafe.SliceData(b)), int32(len(b))
}

func failure(what string, code int32) error {
	switch code {
	case -8:
		return fmt.Errorf("%s: %w", what, ErrDenied)
	case -9:
		return fmt.Errorf("%s: %w", what, ErrAbsent)
	}
	return fmt.Errorf("%s: host error %d", what, code)
}

// grow calls get with a larger buffer until the answer fits.
func grow(what string, get func(out unsafe.Pointer, size int32) int32) ([]byte, error) {
	buf := make([]byte, 4096)
	for {
		n := get(bytes(buf))
		if n < 0 {
			return nil, failure(what, n)
		}
		if int(n) <= len(buf) {
			return buf[:n], nil
		}
		buf = make([]byte, n)
	}
}

// Log writes one line to the run's log.
func Log(level Level, format string, args ...any) {
	p, n := text(fmt.Sprintf(format, args...))
	hostLog(int32(level), p, n)
}

// Input is the whole input of the run, of any size.
func Input() ([]byte, error) {
	in := make([]byte, inputLen())
	for at := 0; at < len(in); {
		p, size := bytes(in[at:])
		n := inputRead(int64(at), p, size)
		if n <= 0 {
			return nil, failure("input", n)
		}
		at += int(n)
	}
	return in, nil
}

// Output appends to the output of the run.
func Output(data []byte) error {
	p, n := bytes(data)
	if code := outputWrite(p, n); code < 0 {
		return failure("output", code)
	}
	return nil
}

// MemoryGet reads a value of the skill's own memory; ErrAbsent when there is none.
func MemoryGet(key string) ([]byte, error) {
	k, n := text(key)
	return grow("memory "+key, func(out unsafe.Pointer, size int32) int32 {
		return hostMemoryGet(k, n, out, size)
	})
}

// MemorySet keeps a value. It is committed with the run, or not at all.
func MemorySet(key string, value []byte) error {
	k, kn := text(key)
	v, vn := bytes(value)
	if code := hostMemorySet(k, kn, v, vn); code < 0 {
		return failure("memory "+key, code)
	}
	return nil
}

// MemoryDelete forgets a value.
func MemoryDelete(key string) error {
	k, n := text(key)
	if code := hostMemoryDelete(k, n); code < 0 {
		return failure("memory "+key, code)
	}
	return nil
}

// Chat asks the configured AI. The answer is at most 1 MiB.
func Chat(prompt string) (string, error) {
	p, n := text(prompt)
	buf := make([]byte, 1<<20)
	out, size := bytes(buf)
	got := hostAIChat(p, n, out, size)
	if got < 0 {
		return "", failure("ai", got)
	}
	if int(got) > len(buf) {
		return "", errors.New("ai: the answer is larger than 1 MiB")
	}
	return string(buf[:got]), nil
}

// Response of an HTTP request.
type Response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// Request sends one HTTP request to an origin that the user granted.
func Request(method, url string, headers map[string]string, body []byte) (*Response, error) {
	if headers == nil {
		headers = map[string]string{}
	}
	encoded, err := json.Marshal(headers)
	if err != nil {
		return nil, err
	}
	m, mn := text(method)
	u, un := text(url)
	h, hn := bytes(encoded)
	b, bn := bytes(body)
	buf := make([]byte, 1<<20)
	out, size := bytes(buf)
	n := hostHTTPRequest(m, mn, u, un, h, hn, b, bn, out, size)
	switch {
	case n == -1:
		return nil, fmt.Errorf("%s %s: %w", method, url, ErrDenied)
	case n < 0:
		return nil, fmt.Errorf("%s %s: %s", method, url, httpError(n))
	}
	response := new(Response)
	if err := json.Unmarshal(buf[:n], response); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	return response, nil
}

func httpError(code int32) string {
	switch code {
	case -2, -3:
		return "bad argument"
	case -5:
		return "unknown method"
	case -6:
		return "could not be sent"
	case -7:
		return "the body could not be read"
	case -8:
		return "the response is larger than 1 MiB"
	case -10:
		return "a limit of the run was reached"
	}
	return fmt.Sprintf("host error %d", code)
}

// Run is the usual main: decodes the input, calls the skill, encodes its answer. An error ends the
// run as failed, with the message as output.
func Run[In, Out any](skill func(In) (Out, error)) {
	var in In
	raw, err := Input()
	if err == nil {
		err = json.Unmarshal(raw, &in)
	}
	var answer any
	if err == nil {
		answer, err = skill(in)
	}
	if err != nil {
		Log(Error, "%v", err)
		answer = map[string]any{"success": false, "error": err.Error()}
	}
	encoded, encodeErr := json.Marshal(answer)
	if encodeErr == nil {
		encodeErr = Output(encoded)
	}
	if err != nil || encodeErr != nil {
		os.Exit(1)
	}
}
