package main

import "fmt"

// OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat.

const (
	identity = `"id":"chatcmpl-B5mQ0mockmockmockmockmockmock","created":1760000000,` +
		`"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_bench"`
	chunkKind = `,"object":"chat.completion.chunk",`
)

var (
	openAIUsage = fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,`+
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},`+
		`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}`,
		inputTokens, outputTokens, inputTokens+outputTokens)
	modelsAnswer = whole("200 OK", `{"object":"list",`+
		`"data":[{"id":"gpt-4o-mini","object":"model","owned_by":"bench"}]}`)

	openAI = format{
		answer: whole("200 OK", `{`+identity+`,"object":"chat.completion","choices":[{"index":0,"message":`+
			`{"role":"assistant","content":"`+words+`","refusal":null,"annotations":[]},"logprobs":null,`+
			`"finish_reason":"stop"}],"usage":`+openAIUsage+`}`),
		head:    streamHead("text/event-stream; charset=utf-8"),
		chunk:   newChunk(openAIEvent(`{"content":"`+emptyStamp+`"}`, "null")),
		closing: [][]byte{openAIEvent(`{}`, `"stop"`), end(httpChunk("data: [DONE]\n\n"))},
	}
	openAIWithUsage = format{
		answer: openAI.answer,
		head:   openAI.head,
		chunk:  openAI.chunk,
		closing: [][]byte{
			openAI.closing[0],
			httpChunk(`data: {` + identity + chunkKind + `"choices":[],"usage":` + openAIUsage + "}\n\n"),
			openAI.closing[1],
		},
	}
)

func openAIEvent(delta, finish string) []byte {
	return httpChunk(`data: {` + identity + chunkKind + `"choices":[{"index":0,"delta":` + delta +
		`,"logprobs":null,"finish_reason":` + finish + `}],"usage":null}` + "\n\n")
}
