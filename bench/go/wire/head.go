// Package wire reads as much of HTTP/1.1 as a mock upstream and a load generator need from well-behaved
// partners: where a head ends, one field of it, and bodies by length or in chunks.
//
// In: bytes as they arrived. Out: positions and pieces of the same bytes, never copies.
package wire

import (
	"bytes"
	"strconv"
)

var blankLine = []byte("\r\n\r\n")

// HeadEnd returns the length of the head with its blank line, 0 while it is incomplete.
func HeadEnd(in []byte) int {
	at := bytes.Index(in, blankLine)
	if at < 0 {
		return 0
	}
	return at + len(blankLine)
}

// Field returns the value of a field, nil when it is absent. name is in lower case.
func Field(head []byte, name string) []byte {
	for {
		at := bytes.IndexByte(head, '\n')
		if at < 0 {
			return nil
		}
		head = head[at+1:]
		if len(head) > len(name) && head[len(name)] == ':' && equalFold(head[:len(name)], name) {
			value := head[len(name)+1:]
			if end := bytes.IndexByte(value, '\r'); end >= 0 {
				value = value[:end]
			}
			return bytes.TrimSpace(value)
		}
	}
}

// Status returns the code of a status line such as `HTTP/1.1 200 OK`, 0 when it is none.
func Status(head []byte) int {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return 0
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return 0
	}
	return status
}

// Path returns the path of a request line such as `POST /v1/chat/completions HTTP/1.1`.
func Path(head []byte) []byte {
	if line := bytes.IndexByte(head, '\r'); line >= 0 {
		head = head[:line]
	}
	parts := bytes.SplitN(head, []byte(" "), 3)
	if len(parts) != 3 {
		return nil
	}
	return parts[1]
}

func equalFold(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
