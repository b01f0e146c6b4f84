package main

import (
	"math/rand"
	"time"

	"headgate.dev/bench/poll"
)

// redialAfter keeps a gateway that is down from being dialled at full speed.
const redialAfter = 50 * time.Millisecond

// crew is all connections, and when which of them sends.
type crew struct {
	loop    *poll.Loop
	plan    plan
	tally   *tally
	callers []*caller
	idle    []*caller   // last in, first out
	due     []time.Time // with -rate: requests whose time has come while nobody was free
	sent    int
	began   time.Time
	over    bool // nothing is sent any more
	tick    func()
}

// dial opens every connection before the clock starts.
func (c *crew) dial() error {
	for range c.plan.connections {
		conn, err := c.loop.Dial(c.plan.address)
		if err != nil {
			return err
		}
		caller := newCaller(c)
		caller.take(conn)
		c.callers = append(c.callers, caller)
	}
	return nil
}

func (c *crew) begin() {
	c.began = time.Now()
	c.tally.began, c.tally.ended = c.began, c.began
	switch {
	case c.plan.once:
		c.plan.requests = len(c.callers)
		// The same moments in every run. Streams that start in step would send all their chunks at once.
		chance := rand.New(rand.NewSource(1))
		for _, caller := range c.callers {
			start := c.began.Add(time.Duration(chance.Float64() * float64(c.plan.ramp)))
			c.loop.At(start, func() { c.send(caller, time.Now()) })
		}
	case c.plan.rate > 0:
		c.idle = append(c.idle, c.callers...)
		c.tick = c.sendDue
		c.sendDue()
	default:
		for _, caller := range c.callers {
			c.send(caller, time.Now())
		}
	}
	if !c.plan.once {
		c.loop.At(c.began.Add(c.plan.seconds), c.finish)
	}
}

// sendDue is called at the moment of each request of an open loop.
func (c *crew) sendDue() {
	now := time.Now()
	for {
		next := c.began.Add(time.Duration(float64(c.sent+len(c.due)) / c.plan.rate * float64(time.Second)))
		if c.over {
			return
		}
		if next.After(now) {
			c.loop.At(next, c.tick)
			return
		}
		c.due = append(c.due, next)
		c.serveDue()
	}
}

func (c *crew) serveDue() {
	for len(c.due) > 0 && len(c.idle) > 0 {
		moment := c.due[0]
		c.due = c.due[:copy(c.due, c.due[1:])]
		caller := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		c.send(caller, moment)
	}
}

// send lets a caller ask. intended is what its latency counts from.
func (c *crew) send(caller *caller, intended time.Time) {
	c.sent++
	if c.plan.requests > 0 && c.sent == c.plan.requests {
		c.finish()
	}
	caller.ask(intended)
}

// free is told by a caller that its request has ended, well or not.
func (c *crew) free(caller *caller) {
	switch {
	case c.plan.once:
	case c.plan.rate > 0:
		c.idle = append(c.idle, caller)
		c.serveDue()
	case !c.over:
		c.send(caller, time.Now())
	}
	c.stopWhenDone()
}

// finish ends the sending, and after a while the waiting.
func (c *crew) finish() {
	if c.over {
		return
	}
	c.over = true
	c.loop.At(time.Now().Add(c.plan.grace), c.loop.Stop)
	c.stopWhenDone()
}

func (c *crew) stopWhenDone() {
	if c.over && len(c.due) == 0 && c.outstanding() == 0 {
		c.loop.Stop()
	}
}

// outstanding counts the callers that wait for an answer.
func (c *crew) outstanding() int {
	count := 0
	for _, caller := range c.callers {
		if caller.waiting {
			count++
		}
	}
	return count
}
