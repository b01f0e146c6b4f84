package main

import (
	"bytes"
	"strconv"
	"time"
)

// A stamp is `@@` and the moment of sending in nanoseconds of Unix time, 19 digits. Mock and loader share a
// clock.
const (
	stampDigits = 19
	stampLength = 2 + stampDigits
)

var mark = []byte("@@")

// stream reads the stamps of one answer, wherever a gateway has cut it into pieces.
type stream struct {
	last   []byte // what the last event has, and no other; not longer than a stamp
	chunks int
	ended  bool   // by that
	tail   []byte // too short to hold a whole stamp, long enough for the beginning of one
}

func (s *stream) scan(piece []byte, now time.Time, tally *tally) {
	text := piece
	if len(s.tail) > 0 {
		s.tail = append(s.tail, piece...)
		text = s.tail
	}
	s.ended = s.ended || bytes.Contains(text, s.last)
	for {
		at := bytes.Index(text, mark)
		if at < 0 || len(text) < at+stampLength {
			break
		}
		if sent, err := strconv.ParseInt(string(text[at+2:at+stampLength]), 10, 64); err == nil {
			s.chunks++
			tally.chunk(now.UnixNano() - sent)
		}
		text = text[at+stampLength:]
	}
	kept := text[max(0, len(text)-(stampLength-1)):]
	s.tail = append(s.tail[:0], kept...)
}
