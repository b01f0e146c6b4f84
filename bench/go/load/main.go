// Load sends chat completions over keep-alive connections and tells how they went, as one JSON object on
// stdout.
//
// Started by bench/speed. Three ways to send:
//
//	closed loop  each connection asks again as soon as it was answered: how much does a gateway do
//	-rate        one request every 1/rate seconds, whoever is free sends it: how long does a gateway take
//	-once        each connection asks once, at a chance moment of the first -ramp: many streams at once
//
// With -rate, latency counts from the moment at which a request was to be sent; otherwise a gateway that
// stalls would be asked less, and look better (coordinated omission).
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"headgate.dev/bench/poll"
)

// memoryLimit is far above what a million latencies need: the collector runs only before memory becomes a
// problem.
const memoryLimit = 1 << 30

// plan is what the command line asks for.
type plan struct {
	address     *net.TCPAddr
	request     []byte
	connections int
	requests    int           // 0: no bound but time
	seconds     time.Duration // sending ends after it, or after requests
	rate        float64       // 0: closed loop
	once        bool
	ramp        time.Duration
	grace       time.Duration // for the answers that are outstanding when sending ends
	chunks      int           // of each stream; 0: the answers are no streams
	last        []byte        // of each stream: what says that it is whole
	ids         string        // a file for the request ids of all good answers; empty: none is written
}

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	plan, err := readPlan()
	if err == nil {
		var result *tally
		if result, err = run(plan); err == nil && plan.ids != "" {
			err = os.WriteFile(plan.ids, result.ids, 0o600)
		}
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(result.report())
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "load: %v\n", err)
		os.Exit(1)
	}
}

func readPlan() (plan, error) {
	var p plan
	target := flag.String("url", "", "where to POST")
	body := flag.String("body", "", "file with the body")
	key := flag.String("key", "", "API key")
	last := flag.String("last", "[DONE]", "what the last event of a whole stream has, and no other")
	flag.IntVar(&p.connections, "connections", 64, "keep-alive connections")
	flag.IntVar(&p.requests, "requests", 0, "stop sending after so many")
	flag.DurationVar(&p.seconds, "for", 5*time.Second, "stop sending after so long")
	flag.Float64Var(&p.rate, "rate", 0, "requests per second over all connections; 0: as fast as answers come")
	flag.BoolVar(&p.once, "once", false, "one request per connection")
	flag.DurationVar(&p.ramp, "ramp", time.Second, "with -once: the time in which they start")
	flag.DurationVar(&p.grace, "grace", 30*time.Second, "how long to wait for outstanding answers")
	flag.IntVar(&p.chunks, "chunks", 0, "stamped chunks that each stream must have")
	flag.StringVar(&p.ids, "ids", "", "write the request ids of all good answers to this file, one a line")
	flag.Parse()
	if *target == "" || *body == "" || p.connections < 1 {
		return p, errors.New("-url and -body are needed, and at least one connection")
	}
	if *last == "" || len(*last) >= stampLength {
		return p, errors.New("-last has to be shorter than a stamp, and is needed")
	}
	to, err := url.Parse(*target)
	if err != nil {
		return p, err
	}
	if p.address, err = net.ResolveTCPAddr("tcp4", to.Host); err != nil {
		return p, err
	}
	p.last = []byte(*last)
	content, err := os.ReadFile(*body)
	if err != nil {
		return p, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", to.RequestURI(), to.Host, *key, len(content))
	p.request = append([]byte(head), content...)
	return p, nil
}

func run(p plan) (*tally, error) {
	loop, err := poll.New()
	if err != nil {
		return nil, err
	}
	crew := &crew{loop: loop, plan: p, tally: newTally()}
	if err := crew.dial(); err != nil {
		return nil, err
	}
	crew.begin()
	if err := loop.Run(); err != nil {
		return nil, err
	}
	crew.tally.unfinished(crew.outstanding())
	return crew.tally, nil
}
