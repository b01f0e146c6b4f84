package main

import (
	"bytes"
	"time"

	"headgate.dev/bench/poll"
	"headgate.dev/bench/wire"
)

// caller is one keep-alive connection with one request under way at most.
type caller struct {
	crew     *crew
	conn     *poll.Conn
	waiting  bool
	intended time.Time
	status   int    // 0: the head has not come
	closing  bool   // the other side has said that it will close the connection
	id       []byte // of the request, as the head says it; empty when nobody wants it
	body     wire.Body
	stream   stream
}

const idField = "x-headgate-request-id"

func newCaller(crew *crew) *caller { return &caller{crew: crew} }

func (c *caller) take(conn *poll.Conn) {
	c.conn = conn
	conn.OnData, conn.OnClose = c.read, c.lose
}

func (c *caller) ask(intended time.Time) {
	c.waiting, c.intended, c.status, c.closing = true, intended, 0, false
	c.stream = stream{last: c.crew.plan.last}
	if c.conn == nil {
		c.redial()
		return
	}
	c.conn.Write(c.crew.plan.request)
}

func (c *caller) redial() {
	conn, err := c.crew.loop.Dial(c.crew.plan.address)
	if err != nil {
		c.crew.loop.At(time.Now().Add(redialAfter), func() { c.end("connect") })
		return
	}
	c.take(conn)
	conn.Write(c.crew.plan.request)
}

func (c *caller) read() {
	if !c.waiting {
		if len(c.conn.In) > 0 {
			c.crew.tally.fail("unasked")
			c.conn.Close()
			c.conn = nil
		}
		return
	}
	if c.status == 0 && !c.readHead() {
		return
	}
	taken, whole := c.readBody()
	if c.conn == nil {
		return
	}
	c.conn.Consume(taken)
	if whole {
		c.judge()
	}
}

// readHead returns whether the body's turn has come.
func (c *caller) readHead() bool {
	for {
		head := wire.HeadEnd(c.conn.In)
		if head == 0 {
			return false
		}
		status := wire.Status(c.conn.In)
		closing := bytes.EqualFold(wire.Field(c.conn.In[:head], "connection"), []byte("close"))
		err := c.body.Start(c.conn.In[:head])
		if c.crew.plan.ids != "" {
			c.id = append(c.id[:0], wire.Field(c.conn.In[:head], idField)...)
		}
		if status == 0 || err != nil {
			c.abandon("malformed")
			return false
		}
		c.conn.Consume(head)
		if status >= 200 {
			c.status, c.closing = status, closing
			return true
		}
	}
}

func (c *caller) readBody() (taken int, whole bool) {
	var now time.Time
	for !c.body.Done {
		piece, n, err := c.body.Next(c.conn.In[taken:])
		if err != nil {
			c.abandon("malformed")
			return 0, false
		}
		if n == 0 {
			return taken, false
		}
		taken += n
		if len(piece) > 0 && c.crew.plan.chunks > 0 {
			if now.IsZero() {
				now = time.Now() // one for all chunks of a read: they have arrived together
			}
			c.stream.scan(piece, now, c.crew.tally)
		}
	}
	return taken, true
}

// judge counts an answer that came to its end.
func (c *caller) judge() {
	tally := c.crew.tally
	switch want := c.crew.plan.chunks; {
	case c.status != 200:
		c.end(statusKind(c.status))
		return
	case want > 0 && !c.stream.ended:
		tally.lost += want - c.stream.chunks
		c.end("cut")
		return
	case want > 0:
		tally.lost += want - c.stream.chunks
	}
	tally.answer(time.Since(c.intended), c.id)
	c.end("")
}

// lose is called when the other side closed the connection.
func (c *caller) lose() {
	c.conn = nil
	if c.waiting {
		if want := c.crew.plan.chunks; want > 0 {
			c.crew.tally.lost += want - c.stream.chunks
		}
		c.end("closed")
	}
}

func (c *caller) abandon(kind string) {
	c.conn.Close()
	c.conn = nil
	c.end(kind)
}

// end frees the caller. kind: of the error; empty for a good answer.
func (c *caller) end(kind string) {
	if kind != "" {
		c.crew.tally.fail(kind)
	}
	c.waiting = false
	if c.closing && c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	c.crew.free(c)
}
