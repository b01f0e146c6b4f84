package main

import (
	"testing"
	"time"
)

const chunk = `data: {"choices":[{"delta":{"content":"@@1760000000000000000"}}]}` + "\n\n"

func TestStampsAreCountedOnceWhereverAStreamIsCut(t *testing.T) {
	text := chunk + chunk + "data: [DONE]\n\n"
	for step := 1; step <= len(text); step++ {
		stream := stream{last: []byte("[DONE]")}
		tally := newTally()
		for at := 0; at < len(text); at += step {
			stream.scan([]byte(text[at:min(at+step, len(text))]), time.Unix(0, 1760000000000005000), tally)
		}
		if stream.chunks != 2 || !stream.ended || tally.chunkDelays[1] != 5000 {
			t.Fatalf("step %d: %d chunks, ended %v, delays %v", step, stream.chunks, stream.ended, tally.chunkDelays)
		}
	}
}

func TestAStreamWithoutItsLastEventHasNotEnded(t *testing.T) {
	stream := stream{last: []byte("[DONE]")}

	stream.scan([]byte(chunk), time.Now(), newTally())

	if stream.ended {
		t.Fatal("it has ended")
	}
}

func TestWhatEndsAStreamIsWhatTheCallerSays(t *testing.T) {
	stream := stream{last: []byte("message_stop")}

	stream.scan([]byte(chunk+"data: [DONE]\n\nevent: messa"), time.Now(), newTally())
	early := stream.ended
	stream.scan([]byte("ge_stop\n"), time.Now(), newTally())

	if early || !stream.ended {
		t.Fatalf("ended before its last event: %v, behind it: %v", early, stream.ended)
	}
}

func TestQuantilesAreInMicroseconds(t *testing.T) {
	ns := make([]int64, 0, 1001)
	for i := 1000; i >= 0; i-- {
		ns = append(ns, int64(i)*1000)
	}

	got := quantilesOf(ns)

	if want := (quantiles{P50: 500, P90: 900, P99: 990, P999: 999, Max: 1000}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}
