package main

import "fmt"

// Cohere's chat, version 2: https://docs.cohere.com/reference/chat and .../chat-stream.

const cohereID = `"id":"29f14a5a-11de-4cae-9800-mockmockmock"`

var cohereUsage = fmt.Sprintf(`{"billed_units":{"input_tokens":%[1]d,"output_tokens":%[2]d},`+
	`"tokens":{"input_tokens":%[1]d,"output_tokens":%[2]d}}`, inputTokens, outputTokens)

var cohere = format{
	answer: whole("200 OK", `{`+cohereID+`,"message":{"role":"assistant","content":[{"type":"text","text":"`+
		words+`"}]},"finish_reason":"COMPLETE","usage":`+cohereUsage+`}`),
	head: streamHead("text/event-stream"),
	opening: [][]byte{
		cohereEvent(`{"type":"message-start",` + cohereID + `,"delta":{"message":{"role":"assistant",` +
			`"content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}`),
		cohereEvent(`{"type":"content-start","index":0,` +
			`"delta":{"message":{"content":{"type":"text","text":""}}}}`),
	},
	chunk: newChunk(cohereEvent(`{"type":"content-delta","index":0,` +
		`"delta":{"message":{"content":{"text":"` + emptyStamp + `"}}}}`)),
	closing: [][]byte{
		cohereEvent(`{"type":"content-end","index":0}`),
		end(cohereEvent(`{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":` + cohereUsage +
			`}}`)),
	},
}

func cohereEvent(data string) []byte { return httpChunk(namedEvent(data)) }
