// @NAME@ greets {"name": "…"} and counts how often, in the skill's own memory.
package main

import (
	"errors"
	"strconv"

	"@NAME@/cis"
)

type input struct {
	Name string `json:"name"`
}

type output struct {
	Greeting string `json:"greeting"`
	Count    int    `json:"count"`
}

func greet(in input) (output, error) {
	if in.Name == "" {
		return output{}, errors.New(`the input needs a name: {"name":"Ada"}`)
	}
	count := 1
	if old, err := cis.MemoryGet("count"); err == nil {
		n, _ := strconv.Atoi(string(old))
		count = n + 1
	}
	if err := cis.MemorySet("count", []byte(strconv.Itoa(count))); err != nil {
		cis.Log(cis.Warn, "%v", err) // not granted: it works without a memory
	}
	return output{in.Name, count}, nil
}

func main() { cis.Run(greet) }
