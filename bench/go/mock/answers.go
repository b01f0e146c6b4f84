package main

import (
	"fmt"
	"strconv"
	"time"
)

// Everything that can be made before the first request is made here.

const (
	identity = `"id":"chatcmpl-B5mQ0mockmockmockmockmockmock","created":1760000000,` +
		`"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_bench"`
	chunkKind = `,"object":"chat.completion.chunk",`
	usage     = `{"prompt_tokens":182,"completion_tokens":96,"total_tokens":278,` +
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}`
	words = "First look at the memory graph of the checkout pods beside the marker of the last deploy: a " +
		"straight line until the limit, and a restart every eleven minutes, speak for a leak and not for " +
		"load. Then open the panel of the garbage collector: when its pauses grow with the heap, roll back " +
		"with the command of section four, wait for two clean intervals of the liveness probe, and keep " +
		"one pod out of rotation for a heap dump."
)

// Mark begins a stamp: the time of sending in nanoseconds of Unix time, in stampDigits digits.
const (
	mark        = "@@"
	stampDigits = 19
)

var (
	chatAnswer = whole("200 OK", `{`+identity+`,"object":"chat.completion","choices":[{"index":0,"message":`+
		`{"role":"assistant","content":"`+words+`","refusal":null,"annotations":[]},"logprobs":null,`+
		`"finish_reason":"stop"}],"usage":`+usage+`}`)
	modelsAnswer = whole("200 OK", `{"object":"list",`+
		`"data":[{"id":"gpt-4o-mini","object":"model","owned_by":"bench"}]}`)
	unknownAnswer = whole("404 Not Found", `{"error":{"message":"the mock has no such path",`+
		`"type":"invalid_request_error"}}`)

	continueAnswer = []byte("HTTP/1.1 100 Continue\r\n\r\n")

	streamHead = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" +
		"Cache-Control: no-cache\r\nx-request-id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunkEvent  = event(`{"content":"`+mark+fmt.Sprintf("%0*d", stampDigits, 0)+`"}`, "null")
	stampAt     = indexAfter(chunkEvent, mark)
	lastEvent   = event(`{}`, `"stop"`)
	usageEvent  = httpChunk(`data: {` + identity + chunkKind + `"choices":[],"usage":` + usage + "}\n\n")
	endOfStream = append(httpChunk("data: [DONE]\n\n"), "0\r\n\r\n"...)
)

// stamped returns the bytes of one chunk; they are good until the next call.
func stamped(now time.Time) []byte {
	left := now.UnixNano()
	for at := stampAt + stampDigits - 1; at >= stampAt; at-- {
		chunkEvent[at] = byte('0' + left%10)
		left /= 10
	}
	return chunkEvent
}

func whole(status, body string) []byte {
	return []byte("HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\nx-request-id: req_bench\r\n\r\n" + body)
}

func event(delta, finish string) []byte {
	return httpChunk(`data: {` + identity + chunkKind + `"choices":[{"index":0,"delta":` + delta +
		`,"logprobs":null,"finish_reason":` + finish + `}],"usage":null}` + "\n\n")
}

func httpChunk(text string) []byte { return []byte(fmt.Sprintf("%x\r\n%s\r\n", len(text), text)) }

func indexAfter(in []byte, text string) int {
	for at := 0; at+len(text) <= len(in); at++ {
		if string(in[at:at+len(text)]) == text {
			return at + len(text)
		}
	}
	panic("no " + text)
}
