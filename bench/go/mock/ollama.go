package main

import "fmt"

// Ollama's chat: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion. A stream
// is a line of JSON for each piece.

var ollamaCounts = fmt.Sprintf(`"done":true,"done_reason":"stop","total_duration":4883583458,`+
	`"load_duration":1334875,"prompt_eval_count":%d,"prompt_eval_duration":342546000,"eval_count":%d,`+
	`"eval_duration":4535599000`, inputTokens, outputTokens)

var ollama = format{
	answer:  whole("200 OK", ollamaLine(words, ollamaCounts)),
	head:    streamHead("application/x-ndjson"),
	chunk:   newChunk(httpChunk(ollamaLine(emptyStamp, `"done":false`) + "\n")),
	closing: [][]byte{end(httpChunk(ollamaLine("", ollamaCounts) + "\n"))},
}

func ollamaLine(text, rest string) string {
	return `{"model":"llama3.2","created_at":"2025-10-09T08:53:20.385406455Z",` +
		`"message":{"role":"assistant","content":"` + text + `"},` + rest + `}`
}
