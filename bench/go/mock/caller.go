package main

import (
	"bytes"
	"time"

	"headgate.dev/bench/poll"
	"headgate.dev/bench/wire"
)

// caller is one connection: requests one after the other, each answered before the next is read.
type caller struct {
	loop *poll.Loop
	conn *poll.Conn
	body []byte // of a chunked request, joined

	left      int // chunks of the stream under way
	streaming bool
	delay     time.Duration
	due       time.Time // of the next chunk
	format    *format
	step      func() // sendNext, made once: a thousand streams would allocate it fifty thousand times a second
}

func serve(loop *poll.Loop, conn *poll.Conn) {
	c := &caller{loop: loop, conn: conn}
	c.step = c.sendNext
	conn.OnData = c.read
	conn.OnClose = func() {}
}

// read answers as many whole requests as have arrived.
func (c *caller) read() {
	for !c.streaming && !c.conn.Closed() {
		head := wire.HeadEnd(c.conn.In)
		if head == 0 {
			return
		}
		body, length, ok := c.wholeBody(head)
		if !ok {
			return
		}
		c.answer(c.conn.In[:head], body)
		c.conn.Consume(length)
	}
}

// wholeBody returns the body and the length of the whole request, false while it is incomplete.
func (c *caller) wholeBody(head int) (body []byte, length int, ok bool) {
	var reader wire.Body
	if err := reader.Start(c.conn.In[:head]); err != nil {
		c.conn.Close()
		return nil, 0, false
	}
	c.body, length = c.body[:0], head
	for pieces := 0; !reader.Done; pieces++ {
		piece, taken, err := reader.Next(c.conn.In[length:])
		if err != nil {
			c.conn.Close()
			return nil, 0, false
		}
		length += taken
		if reader.Done && pieces == 0 {
			return piece, length, true // by length, and all there: no copy
		}
		if taken == 0 || length == len(c.conn.In) && !reader.Done {
			if pieces == 0 && taken == 0 && wire.Field(c.conn.In[:head], "expect") != nil {
				c.conn.Write(continueAnswer)
			}
			return nil, 0, false
		}
		c.body = append(c.body, piece...)
	}
	return c.body, length, true
}

func (c *caller) answer(head, body []byte) {
	path := wire.Path(head)
	wanted, stream := find(path, body)
	switch {
	case wanted == nil && bytes.HasSuffix(path, models):
		c.conn.Write(modelsAnswer) // probes
	case wanted == nil:
		c.conn.Write(unknownAnswer)
	case !stream:
		c.conn.Write(wanted.answer)
	default:
		script := readScript(body)
		c.streaming, c.left, c.delay = true, script.chunks, script.delay
		c.format, c.due = wanted, time.Now()
		c.conn.Write(wanted.head)
		c.writeAll(wanted.opening)
		c.sendNext()
	}
}

// sendNext sends the next chunk, or all of them when there is no delay between them; each with a write of
// its own, as model servers do.
func (c *caller) sendNext() {
	for c.left > 0 && !c.conn.Closed() {
		c.conn.Write(c.format.chunk.stamped(time.Now()))
		c.left--
		if c.delay > 0 && c.left > 0 {
			// From when it was due, not from now: lateness must not add up.
			c.due = c.due.Add(c.delay)
			c.loop.At(c.due, c.step)
			return
		}
	}
	c.writeAll(c.format.closing)
	c.streaming = false
	if !c.conn.Closed() && len(c.conn.In) > 0 && c.delay > 0 {
		c.read() // a request that came meanwhile; without a delay the caller of sendNext reads on
	}
}

func (c *caller) writeAll(pieces [][]byte) {
	for _, piece := range pieces {
		c.conn.Write(piece)
	}
}
