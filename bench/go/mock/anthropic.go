package main

import (
	"fmt"
	"strings"
)

// Anthropic's Messages: https://platform.claude.com/docs/en/build-with-claude/streaming.

const anthropicMessage = `"id":"msg_01mockmockmockmockmockmock","type":"message","role":"assistant",` +
	`"model":"claude-sonnet-4-5-20250929"`

var anthropic = format{
	answer: whole("200 OK", `{`+anthropicMessage+`,"content":[{"type":"text","text":"`+words+`"}],`+
		`"stop_reason":"end_turn","stop_sequence":null,"usage":`+anthropicUsage(outputTokens)+`}`),
	head: streamHead("text/event-stream; charset=utf-8"),
	opening: [][]byte{
		anthropicEvent(`{"type":"message_start","message":{` + anthropicMessage + `,"content":[],` +
			`"stop_reason":null,"stop_sequence":null,"usage":` + anthropicUsage(1) + `}}`),
		anthropicEvent(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		anthropicEvent(`{"type": "ping"}`),
	},
	chunk: newChunk(anthropicEvent(`{"type":"content_block_delta","index":0,` +
		`"delta":{"type":"text_delta","text":"` + emptyStamp + `"}}`)),
	closing: [][]byte{
		anthropicEvent(`{"type":"content_block_stop","index":0}`),
		anthropicEvent(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},` +
			`"usage":` + anthropicUsage(outputTokens) + `}`),
		end(anthropicEvent(`{"type":"message_stop"}`)),
	},
}

func anthropicUsage(output int) string {
	return fmt.Sprintf(`{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,`+
		`"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},`+
		`"output_tokens":%d,"service_tier":"standard"}`, inputTokens, output)
}

func anthropicEvent(data string) []byte { return httpChunk(namedEvent(data)) }

// namedEvent writes the type, the first member that there is, as the event's name, too.
func namedEvent(data string) string {
	return "event: " + strings.SplitN(data, `"`, 5)[3] + "\ndata: " + data + "\n\n"
}
