// Package poll is one thread's event loop over sockets and timers: epoll, non-blocking reads and writes.
//
// In: listeners, connections and moments. Out: calls of the owner's functions, one at a time. The mock
// upstream and the load generator are built on it. They share one core of two, and what they use is missing
// in the measurement; package net would add a scheduler and a second poller to each read and write.
//
// The one subtle rule: a function that is called may close any connection; nothing is called for a closed one
// again.
package poll

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	epollPwait2   = 441 // not in package syscall; Linux 5.11, with nanoseconds where epoll_wait has milliseconds
	prSetSlack    = 29
	backlog       = 4096
	readAtLeast   = 4096
	eventsPerWait = 512
)

// Loop is used by one goroutine only. Its zero value is not usable: see New.
type Loop struct {
	epoll   int
	conns   []*Conn       // by file descriptor
	accepts []func(*Conn) // by file descriptor of a listener
	timers  timers
	stopped bool
}

// New makes a loop on the calling goroutine's thread.
func New() (*Loop, error) {
	runtime.LockOSThread()
	// Timers would otherwise come up to 50 µs late, which is the size of what is measured.
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetSlack, 1, 0); errno != 0 {
		return nil, fmt.Errorf("timer slack: %w", errno)
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Loop{epoll: epoll}, nil
}

// Listen accepts connections on 127.0.0.1 and a port of the system's choice, which it returns.
func (l *Loop) Listen(accept func(*Conn)) (port int, err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	if err := syscall.Listen(fd, backlog); err != nil {
		return 0, fmt.Errorf("listen: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("getsockname: %w", err)
	}
	for len(l.accepts) <= fd {
		l.accepts = append(l.accepts, nil)
	}
	l.accepts[fd] = accept
	if err := l.watch(fd, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN); err != nil {
		return 0, err
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

// Dial waits for the connection: on one machine that takes microseconds, and only while the backlog has room.
func (l *Loop) Dial(address *net.TCPAddr) (*Conn, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	to := &syscall.SockaddrInet4{Port: address.Port}
	copy(to.Addr[:], address.IP.To4())
	if err := syscall.Connect(fd, to); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return l.adopt(fd)
}

// At calls f at or after the moment.
func (l *Loop) At(moment time.Time, f func()) {
	l.timers.push(timer{moment, f})
}

// Stop makes Run return once the function that is being called has returned.
func (l *Loop) Stop() { l.stopped = true }

// Run returns after Stop, or when the system refuses to wait.
func (l *Loop) Run() error {
	events := make([]syscall.EpollEvent, eventsPerWait)
	for !l.stopped {
		n, err := l.wait(events)
		if err != nil {
			return err
		}
		for _, event := range events[:n] {
			if err := l.handle(int(event.Fd), event.Events); err != nil {
				return err
			}
		}
		l.fire()
	}
	return nil
}

func (l *Loop) adopt(fd int) (*Conn, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("set non-blocking: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return nil, fmt.Errorf("no delay: %w", err)
	}
	conn := &Conn{loop: l, fd: fd, In: make([]byte, 0, readAtLeast)}
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = conn
	return conn, l.watch(fd, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN)
}

func (l *Loop) watch(fd, operation int, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	if err := syscall.EpollCtl(l.epoll, operation, fd, &event); err != nil {
		return fmt.Errorf("epoll control: %w", err)
	}
	return nil
}

func (l *Loop) wait(events []syscall.EpollEvent) (int, error) {
	var limit *syscall.Timespec
	if len(l.timers) > 0 {
		left := max(0, time.Until(l.timers[0].moment))
		value := syscall.NsecToTimespec(int64(left))
		limit = &value
	}
	n, _, errno := syscall.Syscall6(
		epollPwait2, uintptr(l.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(limit)), 0, 0,
	)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_pwait2: %w", errno)
}

func (l *Loop) handle(fd int, events uint32) error {
	if fd < len(l.accepts) && l.accepts[fd] != nil {
		return l.accept(fd)
	}
	conn := l.conns[fd]
	if conn == nil {
		return nil // closed by a function that was called for an earlier event of the same wait
	}
	if events&syscall.EPOLLOUT != 0 {
		conn.flush()
	}
	if !conn.closed && events&^syscall.EPOLLOUT != 0 {
		conn.read()
	}
	return nil
}

func (l *Loop) accept(listener int) error {
	for {
		fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return nil // EAGAIN: none is waiting; any other concerns a caller that has gone
		}
		conn, err := l.adopt(fd)
		if err != nil {
			return err
		}
		l.accepts[listener](conn)
	}
}

func (l *Loop) fire() {
	now := time.Now()
	for len(l.timers) > 0 && !l.timers[0].moment.After(now) {
		l.timers.pop().call()
	}
}
