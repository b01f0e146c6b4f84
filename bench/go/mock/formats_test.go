package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate.dev/bench/poll"
)

const asked = `{"stream":true,"messages":"@mock chunks=7 delay_us=0"}`

// spoken is how a format is asked for, and what its events hold of the answer's text.
type spoken struct {
	name         string
	path         string
	streamPath   string
	streamBody   string
	contentType  string
	lines        func(body []byte) ([][]byte, error) // the JSON of each event
	wantedEvents int                                 // beside those with a stamp
}

var formats = []spoken{
	{"OpenAI", "/v1/chat/completions", "", asked, "text/event-stream; charset=utf-8", events, 1},
	{
		"OpenAI with usage", "/v1/chat/completions", "",
		`{"stream":true,"stream_options":{"include_usage": true},"messages":"@mock chunks=7"}`,
		"text/event-stream; charset=utf-8", events, 2,
	},
	{"Anthropic", "/v1/messages", "", asked, "text/event-stream; charset=utf-8", namedEvents, 6},
	{
		"Google", "/v1beta/models/gemini-2.5-flash:generateContent",
		"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{"x":"@mock chunks=7"}`,
		"text/event-stream", eventsWithCR, 1,
	},
	{
		"Bedrock", "/model/anthropic.claude-v1%3A0/converse", "/model/anthropic.claude-v1%3A0/converse-stream",
		`{"x":"@mock chunks=7"}`, "application/vnd.amazon.eventstream", frames, 4,
	},
	{"Cohere", "/v2/chat", "", asked, "text/event-stream", namedEvents, 4},
	{"Ollama", "/api/chat", "", `{"x":"@mock chunks=7"}`, "application/x-ndjson", jsonLines, 1},
}

func TestEachFormatGivesTheSameWords(t *testing.T) {
	mock := start(t)
	for _, format := range formats {
		answer, body := post(t, mock+format.path, `{"stream": false}`)

		if answer.StatusCode != 200 || !json.Valid(body) || strings.Count(string(body), words) != 1 {
			t.Errorf("%s: %s %s", format.name, answer.Status, body)
		}
		if !strings.Contains(string(body), "182") || !strings.Contains(string(body), "96") {
			t.Errorf("%s tells no usage: %s", format.name, body)
		}
	}
}

func TestEachFormatStreamsTheChunksThatAreAskedFor(t *testing.T) {
	mock := start(t)
	for _, format := range formats {
		path := format.path
		if format.streamPath != "" {
			path = format.streamPath
		}
		began := time.Now().UnixNano()
		for range 2 { // the second finds its connection as the first has left it
			answer, body := post(t, mock+path, format.streamBody)
			lines, err := format.lines(body)
			if err != nil {
				t.Fatalf("%s: %v in %q", format.name, err, body)
			}
			stamps := 0
			for _, line := range lines {
				if !json.Valid(line) {
					t.Errorf("%s: no JSON: %s", format.name, line)
				}
				if at := bytes.Index(line, []byte(mark)); at >= 0 {
					var sent int64
					fmt.Sscanf(string(line[at+len(mark):at+len(mark)+stampDigits]), "%d", &sent)
					if sent < began || sent > time.Now().UnixNano() {
						t.Errorf("%s: sent at %d, began at %d", format.name, sent, began)
					}
					stamps++
				}
			}

			if answer.Header.Get("content-type") != format.contentType {
				t.Errorf("%s: %s", format.name, answer.Header.Get("content-type"))
			}
			if stamps != 7 || len(lines) != 7+format.wantedEvents {
				t.Errorf("%s: %d stamps in %d events: %s", format.name, stamps, len(lines), body)
			}
		}
	}
}

func TestOllamaStreamsWhereNothingIsSaid(t *testing.T) {
	if _, stream := find([]byte("/api/chat"), []byte(`{}`)); !stream {
		t.Error("a chat of Ollama's without stream")
	}
	if _, stream := find([]byte("/api/chat"), []byte(`{"stream":false}`)); stream {
		t.Error("a chat of Ollama's with stream false")
	}
}

func TestAnUnknownPathIsNotFoundAndModelsAreListed(t *testing.T) {
	mock := start(t)

	unknown, _ := post(t, mock+"/v1/nothing", "{}")
	listed, body := post(t, mock+"/v1/models", "{}")

	if unknown.StatusCode != 404 || listed.StatusCode != 200 || !json.Valid(body) {
		t.Errorf("%s, %s %s", unknown.Status, listed.Status, body)
	}
}

// start runs a mock until the tests end; its loop keeps a thread.
func start(t *testing.T) string {
	t.Helper()
	ports := make(chan int)
	go func() {
		loop, err := poll.New()
		if err != nil {
			panic(err)
		}
		port, err := loop.Listen(func(conn *poll.Conn) { serve(loop, conn) })
		if err != nil {
			panic(err)
		}
		ports <- port
		panic(loop.Run())
	}()
	return fmt.Sprintf("http://127.0.0.1:%d", <-ports)
}

func post(t *testing.T, url, body string) (*http.Response, []byte) {
	t.Helper()
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return answer, read
}

// events takes the JSON out of a body of OpenAI's, which ends with one that is none.
func events(body []byte) ([][]byte, error) {
	body, ended := bytes.CutSuffix(body, []byte("data: [DONE]\n\n"))
	if !ended {
		return nil, io.ErrUnexpectedEOF
	}
	return dataLines(body, "\n\n", "")
}

func eventsWithCR(body []byte) ([][]byte, error) { return dataLines(body, "\r\n\r\n", "") }

// namedEvents makes sure that each event bears its type as its name, too.
func namedEvents(body []byte) ([][]byte, error) {
	lines, err := dataLines(body, "\n\n", "event: ")
	for _, line := range lines {
		var typed struct{ Type string }
		if json.Unmarshal(line, &typed) != nil || !bytes.Contains(body, []byte("event: "+typed.Type+"\n")) {
			return nil, fmt.Errorf("an event without its name: %s", line)
		}
	}
	return lines, err
}

func dataLines(body []byte, blank, first string) ([][]byte, error) {
	var lines [][]byte
	for _, event := range strings.SplitAfter(string(body), blank) {
		if event == "" {
			continue
		}
		_, data, found := strings.Cut(event, "data: ")
		if !found || !strings.HasSuffix(event, blank) || !strings.HasPrefix(event, first) {
			return nil, fmt.Errorf("no event: %q", event)
		}
		lines = append(lines, []byte(strings.TrimSuffix(data, blank)))
	}
	return lines, nil
}

func jsonLines(body []byte) ([][]byte, error) {
	var lines [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(body))
	for scanner.Scan() {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	return lines, scanner.Err()
}

// frames reads Amazon's event stream by its lengths, and adds up both checksums of each frame.
func frames(body []byte) ([][]byte, error) {
	var payloads [][]byte
	for len(body) > 0 {
		if len(body) < preludeBytes+crcBytes {
			return nil, io.ErrUnexpectedEOF
		}
		total, headers := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
		if int(total) > len(body) {
			return nil, io.ErrUnexpectedEOF
		}
		frame := body[:total]
		prelude, sum := binary.BigEndian.Uint32(frame[8:]), binary.BigEndian.Uint32(frame[total-crcBytes:])
		if prelude != crc32.ChecksumIEEE(frame[:8]) || sum != crc32.ChecksumIEEE(frame[:total-crcBytes]) {
			return nil, fmt.Errorf("a wrong checksum: %q", frame)
		}
		payloads = append(payloads, frame[preludeBytes+headers:total-crcBytes])
		body = body[total:]
	}
	return payloads, nil
}
