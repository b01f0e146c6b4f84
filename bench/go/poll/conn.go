package poll

import (
	"syscall"
	"unsafe"
)

// Conn is one socket. The owner sets both functions before the loop runs on.
type Conn struct {
	loop   *Loop
	fd     int
	out    []byte
	closed bool
	// In holds what has arrived and was not consumed.
	In []byte
	// OnData is called when In has grown.
	OnData func()
	// OnClose is called once when the other side, or an error, ended the connection; not after Close.
	OnClose func()
}

// Write sends p, now or as soon as the other side takes it. p may be used again after the return.
func (c *Conn) Write(p []byte) {
	if c.closed {
		return
	}
	if len(c.out) > 0 {
		c.out = append(c.out, p...)
		return
	}
	n := write(c.fd, p)
	if n < 0 {
		c.end()
		return
	}
	if n < len(p) {
		c.out = append(c.out, p[n:]...)
		if c.loop.watch(c.fd, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN|syscall.EPOLLOUT) != nil {
			c.end()
		}
	}
}

// Consume drops the first n bytes of In.
func (c *Conn) Consume(n int) { c.In = c.In[:copy(c.In, c.In[n:])] }

// Close ends the connection without a call of OnClose.
func (c *Conn) Close() {
	if !c.closed {
		c.closed = true
		c.loop.conns[c.fd] = nil
		syscall.Close(c.fd) // epoll forgets a closed descriptor by itself
	}
}

// Closed tells whether the connection has ended, from either side.
func (c *Conn) Closed() bool { return c.closed }

func (c *Conn) read() {
	for ended := false; !ended; {
		if cap(c.In)-len(c.In) < readAtLeast {
			grown := make([]byte, len(c.In), 2*cap(c.In)+readAtLeast)
			copy(grown, c.In)
			c.In = grown
		}
		room := c.In[len(c.In):cap(c.In)]
		n, errno := transfer(syscall.SYS_READ, c.fd, room)
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 || n == 0 {
			if len(c.In) > 0 {
				c.OnData() // the last words came with the farewell
			}
			if !c.closed {
				c.end()
			}
			return
		}
		c.In = c.In[:len(c.In)+n]
		ended = n < len(room)
	}
	c.OnData()
}

func (c *Conn) flush() {
	n := write(c.fd, c.out)
	if n < 0 {
		c.end()
		return
	}
	c.out = c.out[:copy(c.out, c.out[n:])]
	if len(c.out) == 0 && c.loop.watch(c.fd, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN) != nil {
		c.end()
	}
}

func (c *Conn) end() {
	c.Close()
	c.OnClose()
}

// write returns how much the socket took, -1 when it is broken.
func write(fd int, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	n, errno := transfer(syscall.SYS_WRITE, fd, p)
	switch errno {
	case 0:
		return n
	case syscall.EAGAIN:
		return 0
	}
	return -1
}

// transfer is a raw system call: the scheduler need not hear of one that cannot block.
func transfer(call uintptr, fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}
