package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Everything that can be made before the first request is made here and in the files of the formats.

const (
	words = "First look at the memory graph of the checkout pods beside the marker of the last deploy: a " +
		"straight line until the limit, and a restart every eleven minutes, speak for a leak and not for " +
		"load. Then open the panel of the garbage collector: when its pauses grow with the heap, roll back " +
		"with the command of section four, wait for two clean intervals of the liveness probe, and keep " +
		"one pod out of rotation for a heap dump."
	inputTokens  = 182
	outputTokens = 96
)

// Mark begins a stamp: the time of sending in nanoseconds of Unix time, in stampDigits digits.
const (
	mark        = "@@"
	stampDigits = 19
)

// emptyStamp is what stands in an answer's chunk until its time of sending does.
var emptyStamp = mark + strings.Repeat("0", stampDigits)

var (
	unknownAnswer = whole("404 Not Found", `{"error":{"message":"the mock has no such path",`+
		`"type":"invalid_request_error"}}`)
	continueAnswer = []byte("HTTP/1.1 100 Continue\r\n\r\n")
)

// format is one provider's way to give the same answer.
type format struct {
	answer  []byte // whole, when no stream is asked for
	head    []byte // of the stream
	opening [][]byte
	chunk   *chunk
	closing [][]byte // the last of it ends the body
}

// chunk is the bytes of one piece of a stream, with room for a stamp in them.
type chunk struct {
	bytes   []byte
	stampAt int
	seal    func() // what depends on the stamp, such as a checksum; nil: nothing does
}

func newChunk(piece []byte) *chunk { return &chunk{bytes: piece, stampAt: indexAfter(piece, mark)} }

// stamped returns the bytes with a moment in them; they are good until the next call.
func (c *chunk) stamped(now time.Time) []byte {
	left := now.UnixNano()
	for at := c.stampAt + stampDigits - 1; at >= c.stampAt; at-- {
		c.bytes[at] = byte('0' + left%10)
		left /= 10
	}
	if c.seal != nil {
		c.seal()
	}
	return c.bytes
}

func whole(status, body string) []byte {
	return []byte("HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\nx-request-id: req_bench\r\n\r\n" + body)
}

func streamHead(contentType string) []byte {
	return []byte("HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\nCache-Control: no-cache\r\n" +
		"x-request-id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n")
}

// httpChunk is one write of a model server.
func httpChunk(text string) []byte { return []byte(fmt.Sprintf("%x\r\n%s\r\n", len(text), text)) }

// end appends what ends a chunked body to its last piece.
func end(piece []byte) []byte { return append(piece, "0\r\n\r\n"...) }

func indexAfter(in []byte, text string) int {
	at := bytes.Index(in, []byte(text))
	if at < 0 {
		panic("no " + text)
	}
	return at + len(text)
}
