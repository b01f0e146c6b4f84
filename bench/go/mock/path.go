package main

import "bytes"

var (
	chatCompletions       = []byte("/chat/completions")
	messages              = []byte("/messages")
	generateContent       = []byte(":generateContent")
	streamGenerateContent = []byte(":streamGenerateContent")
	converse              = []byte("/converse")
	converseStream        = []byte("/converse-stream")
	cohereChat            = []byte("/v2/chat")
	ollamaChat            = []byte("/api/chat")
	models                = []byte("/models")
)

// find tells by the path in which format a chat is asked for, nil where it is none, and by path or body
// whether it is asked for as a stream.
func find(path, body []byte) (wanted *format, stream bool) {
	if query := bytes.IndexByte(path, '?'); query >= 0 {
		path = path[:query]
	}
	switch {
	case bytes.HasSuffix(path, chatCompletions):
		if stream = isSet(body, "stream"); stream && isSet(body, "include_usage") {
			return &openAIWithUsage, true
		}
		return &openAI, stream
	case bytes.HasSuffix(path, messages):
		return &anthropic, isSet(body, "stream")
	case bytes.HasSuffix(path, generateContent):
		return &google, false
	case bytes.HasSuffix(path, streamGenerateContent):
		return &google, true
	case bytes.HasSuffix(path, converse):
		return &bedrock, false
	case bytes.HasSuffix(path, converseStream):
		return &bedrock, true
	case bytes.HasSuffix(path, cohereChat):
		return &cohere, isSet(body, "stream")
	case bytes.HasSuffix(path, ollamaChat):
		return &ollama, !isUnset(body, "stream") // Ollama streams unless it is told not to
	}
	return nil, false
}
