// The server of net/http, as a process that takes the commands of ../commands.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gate holds requests to /wait in flight.
type gate struct {
	mu      sync.Mutex
	arrived int
	opening chan struct{}
}

var wait = gate{opening: make(chan struct{})}

func (g *gate) pass() {
	g.mu.Lock()
	g.arrived++
	opening := g.opening
	g.mu.Unlock()
	<-opening
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.arrived
}

func (g *gate) whenWaiting(count int) {
	for g.waiting() < count {
		time.Sleep(100 * time.Microsecond)
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.arrived = 0
	close(g.opening)
	g.opening = make(chan struct{})
}

const greeting = "hello world"

var piece = []byte(strings.Repeat("x", 16*1024))

func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		io.WriteString(w, greeting)
	case "/upload":
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, strconv.Itoa(len(body)))
	case "/stream":
		for i := 0; i < 4; i++ {
			w.Write(piece)
			w.(http.Flusher).Flush()
		}
	case "/wait":
		wait.pass()
		io.WriteString(w, greeting)
	}
}

func start() (*http.Server, string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(answer)}
	go server.Serve(listener)
	return server, listener.Addr().String()
}

// cpu returns the user and system time of the process in µs.
func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}

func rss() int {
	var size, resident int
	statm, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(statm), &size, &resident)
	return resident * os.Getpagesize()
}

func usage() map[string]any {
	return map[string]any{"cpu": cpu(), "rss": rss()}
}

func ms(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e6
}

func measureDrain() float64 {
	server, addr := start()
	client, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	io.WriteString(client, "GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	wait.whenWaiting(1)
	done := make(chan time.Time)
	go func() {
		server.Shutdown(context.Background())
		done <- time.Now()
	}()
	time.Sleep(5*time.Millisecond + time.Duration(rand.Intn(20_000))*time.Microsecond)
	wait.open()
	received := ""
	for buffer := make([]byte, 4096); !strings.Contains(received, greeting); {
		n, err := client.Read(buffer)
		if err != nil {
			panic(err)
		}
		received += string(buffer[:n])
	}
	responded := time.Now()
	return math.Max(0, ms((<-done).Sub(responded)))
}

func measureDrains(runs int, budget time.Duration) map[string]any {
	latencies := []float64{}
	for end := time.Now().Add(budget); len(latencies) < runs && time.Now().Before(end); {
		latencies = append(latencies, measureDrain())
	}
	return map[string]any{"latencies": latencies, "late": 0}
}

// watchStalls returns a function that ends the watch and returns the longest delay of a goroutine.
func watchStalls() func() float64 {
	end := make(chan struct{})
	result := make(chan float64)
	go func() {
		longest := 0.0
		last := time.Now()
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-end:
				result <- longest
				return
			}
			now := time.Now()
			if stall := ms(now.Sub(last)) - 1; stall > longest {
				longest = stall
			}
			last = now
		}
	}()
	return func() float64 {
		close(end)
		return <-result
	}
}

func measureShutdown(server *http.Server) map[string]any {
	opened := make(chan time.Time, 1)
	stalls := watchStalls()
	before, began := cpu(), time.Now()
	inFlight := wait.waiting() > 0
	if inFlight {
		time.AfterFunc(300*time.Millisecond, func() {
			wait.open()
			opened <- time.Now()
		})
	}
	server.Shutdown(context.Background())
	ended := time.Now()
	result := map[string]any{"time": ms(ended.Sub(began)), "cpu": cpu() - before, "stall": stalls()}
	result["afterResponse"] = nil
	if inFlight {
		result["afterResponse"] = ms(ended.Sub(<-opened))
	}
	return result
}

func main() {
	server, addr := start()
	_, port, _ := net.SplitHostPort(addr)
	fmt.Println(port)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		numbers := [2]int{}
		for i, word := range words[1:] {
			numbers[i], _ = strconv.Atoi(word)
		}
		var result map[string]any
		switch words[0] {
		case "usage":
			result = usage()
		case "memory":
			runtime.GC()
			debug.FreeOSMemory()
			result = usage()
		case "waiting":
			wait.whenWaiting(numbers[0])
			result = map[string]any{}
		case "drain":
			result = measureDrains(numbers[0], time.Duration(numbers[1])*time.Millisecond)
		case "shutdown":
			result = measureShutdown(server)
		}
		line, _ := json.Marshal(result)
		fmt.Println(string(line))
	}
}
