package main

import (
	"bytes"
	"strconv"
	"time"
)

const defaultChunks = 20

// script is what a request asks of its stream.
type script struct {
	chunks int
	delay  time.Duration
}

// readScript looks for `@mock chunks=200 delay_us=20000`; what is not said stays as it is by default.
func readScript(body []byte) script {
	wish := script{chunks: defaultChunks}
	at := bytes.Index(body, []byte("@mock "))
	if at < 0 {
		return wish
	}
	if chunks, ok := number(body[at:], "chunks="); ok {
		wish.chunks = chunks
	}
	if delay, ok := number(body[at:], "delay_us="); ok {
		wish.delay = time.Duration(delay) * time.Microsecond
	}
	return wish
}

func number(text []byte, name string) (int, bool) {
	at := bytes.Index(text, []byte(name))
	if at < 0 {
		return 0, false
	}
	digits := text[at+len(name):]
	end := 0
	for end < len(digits) && '0' <= digits[end] && digits[end] <= '9' {
		end++
	}
	value, err := strconv.Atoi(string(digits[:end]))
	return value, err == nil
}

// isSet tells whether a member is true. Gateways write JSON with and without a space there.
func isSet(body []byte, name string) bool { return has(body, name, "true") }

func isUnset(body []byte, name string) bool { return has(body, name, "false") }

func has(body []byte, name, value string) bool {
	return bytes.Contains(body, []byte(`"`+name+`":`+value)) || bytes.Contains(body, []byte(`"`+name+`": `+value))
}
