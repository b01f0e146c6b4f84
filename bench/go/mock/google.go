package main

import "fmt"

// Gemini's generateContent: https://ai.google.dev/api/generate-content. Each event is a whole response with
// the usage up to there; lines end with CR and LF, and nothing but the body's end says that it was the last.

var google = format{
	answer: whole("200 OK", googleResponse(words, `,"finishReason":"STOP"`, outputTokens)),
	head:   streamHead("text/event-stream"),
	chunk:  newChunk(googleEvent(emptyStamp, "", outputTokens)),
	closing: [][]byte{
		end(googleEvent("", `,"finishReason":"STOP"`, outputTokens)),
	},
}

func googleEvent(text, finish string, output int) []byte {
	return httpChunk("data: " + googleResponse(text, finish, output) + "\r\n\r\n")
}

func googleResponse(text, finish string, output int) string {
	return fmt.Sprintf(`{"candidates": [{"content": {"parts": [{"text": "%s"}],"role": "model"}%s,"index": 0}],`+
		`"usageMetadata": {"promptTokenCount": %d,"candidatesTokenCount": %d,"totalTokenCount": %d,`+
		`"promptTokensDetails": [{"modality": "TEXT","tokenCount": %d}]},`+
		`"modelVersion": "gemini-2.5-flash","responseId": "mockmockmockmockmock"}`,
		text, finish, inputTokens, output, inputTokens+output, inputTokens)
}
