// Mock is a very cheap upstream: a JSON answer of about 1 KB with usage, or a stream of events that carry the
// time at which they were sent. It speaks OpenAI's chat completions and, by the path that is asked for,
// Anthropic's, Gemini's, Bedrock's, Cohere's and Ollama's formats: the same words in as many chunks.
//
// Started by bench/speed; prints {"ports": [...]} on stdout and serves until it is killed. A request says
// what it wants in the text of its messages, since nothing else passes every gateway unchanged:
//
//	@mock chunks=200 delay_us=20000
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"headgate.dev/bench/poll"
)

// memoryLimit is far above what a thousand connections need: the collector, which would disturb what is
// measured, runs only before memory becomes a problem.
const memoryLimit = 512 << 20

func main() {
	listeners := flag.Int("listeners", 2, "ports to listen on, each one a replica to whoever balances")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	if err := run(*listeners); err != nil {
		fmt.Fprintf(os.Stderr, "mock: %v\n", err)
		os.Exit(1)
	}
}

func run(listeners int) error {
	loop, err := poll.New()
	if err != nil {
		return err
	}
	ports := make([]int, listeners)
	for i := range ports {
		if ports[i], err = loop.Listen(func(conn *poll.Conn) { serve(loop, conn) }); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string][]int{"ports": ports}); err != nil {
		return err
	}
	return loop.Run()
}
