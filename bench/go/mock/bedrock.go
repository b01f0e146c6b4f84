package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Bedrock's Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html,
// in the frames of https://smithy.io/2.0/aws/amazon-eventstream.html:
//
//	total length 4 | headers length 4 | CRC of these 4 | headers | payload | CRC of all of it 4

const (
	preludeBytes = 12
	crcBytes     = 4
	textHeader   = 7
)

var bedrock = format{
	answer: whole("200 OK", `{"metrics":{"latencyMs":900},"output":{"message":{"content":[{"text":"`+words+
		`"}],"role":"assistant"}},"stopReason":"end_turn","usage":`+bedrockUsage+`}`),
	head:    streamHead("application/vnd.amazon.eventstream"),
	opening: [][]byte{bedrockEvent("messageStart", `{"p":"abcdefghijklm","role":"assistant"}`)},
	chunk:   newBedrockChunk(),
	closing: [][]byte{
		bedrockEvent("contentBlockStop", `{"contentBlockIndex":0,"p":"abcdefghijklmnopqrstuvwx"}`),
		bedrockEvent("messageStop", `{"p":"abcdefghijklmnop","stopReason":"end_turn"}`),
		end(bedrockEvent("metadata", `{"metrics":{"latencyMs":900},"p":"abcdef","usage":`+bedrockUsage+`}`)),
	},
}

var bedrockUsage = fmt.Sprintf(`{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d}`,
	inputTokens, outputTokens, inputTokens+outputTokens)

// newBedrockChunk's checksum goes over the stamp, so that it is made anew with each; what stands before the
// stamp is the same each time, and was added up once.
func newBedrockChunk() *chunk {
	framed := bedrockFrame("contentBlockDelta",
		`{"contentBlockIndex":0,"delta":{"text":"`+emptyStamp+`"},"p":"abcdefghijklmnopqr"}`)
	made := newChunk(httpChunk(string(framed)))
	start := indexAfter(made.bytes, "\r\n") // behind the size of the HTTP chunk
	crcAt := start + len(framed) - crcBytes
	before := crc32.ChecksumIEEE(made.bytes[start:made.stampAt])
	made.seal = func() {
		sum := crc32.Update(before, crc32.IEEETable, made.bytes[made.stampAt:crcAt])
		binary.BigEndian.PutUint32(made.bytes[crcAt:], sum)
	}
	return made
}

func bedrockEvent(name, payload string) []byte { return httpChunk(string(bedrockFrame(name, payload))) }

func bedrockFrame(name, payload string) []byte {
	var headers []byte
	for _, header := range [][2]string{
		{":event-type", name}, {":content-type", "application/json"}, {":message-type", "event"},
	} {
		headers = append(headers, byte(len(header[0])))
		headers = append(headers, header[0]...)
		headers = append(headers, textHeader)
		headers = binary.BigEndian.AppendUint16(headers, uint16(len(header[1])))
		headers = append(headers, header[1]...)
	}
	total := preludeBytes + len(headers) + len(payload) + crcBytes
	frame := binary.BigEndian.AppendUint32(nil, uint32(total))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(headers)))
	frame = binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(frame))
	frame = append(append(frame, headers...), payload...)
	return binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(frame))
}
