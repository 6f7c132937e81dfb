// Fetches a URL and answers with its status, type and the start of its body. The host sends the
// request only to origins that the user granted (--allow http=https://example.com).
package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"cissdk/cis"
)

type input struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Max     int               `json:"max"`
}

type output struct {
	Success bool   `json:"success"`
	Status  int    `json:"status"`
	Type    string `json:"type"`
	Bytes   int    `json:"bytes"`
	Body    string `json:"body"`
}

func fetch(in input) (output, error) {
	if in.URL == "" {
		return output{}, fmt.Errorf(`url is missing: the input is {"url":"https://…"}`)
	}
	if in.Method == "" {
		in.Method = "GET"
	}
	if in.Max <= 0 || in.Max > 65536 {
		in.Max = 400
	}
	cis.Log(cis.Info, "%s %s", in.Method, in.URL)
	response, err := cis.Request(in.Method, in.URL, in.Headers, []byte(in.Body))
	if err != nil {
		return output{}, err
	}
	body := response.Body
	if len(body) > in.Max {
		body = body[:in.Max]
		for !utf8.ValidString(body) {
			body = body[:len(body)-1]
		}
	}
	kind := ""
	for name, value := range response.Headers {
		if strings.EqualFold(name, "content-type") {
			kind = value
		}
	}
	cis.Log(cis.Info, "%d, %d bytes", response.Status, len(response.Body))
	return output{response.Status < 400, response.Status, kind, len(response.Body), body}, nil
}

func main() { cis.Run(fetch) }
