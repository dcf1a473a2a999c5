// The handlers of the model on Go's net/http, driven by lines of JSON on standard input. It tells on standard output
// what has happened.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
)

// Command is what the test asks for.
type command struct {
	Does string `json:"does"`
	ID   string `json:"id"`
	Call int    `json:"call"`
}

// Subject is a server of net/http with the handlers of the model.
type subject struct {
	mu      sync.Mutex
	gates   map[string]chan struct{}
	conns   map[net.Conn]http.ConnState
	cancels map[int]context.CancelFunc
	out     *json.Encoder
	server  http.Server
}

func (s *subject) tell(event map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Encode(event)
}

func (s *subject) gate(id string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates[id] == nil {
		s.gates[id] = make(chan struct{})
	}
	return s.gates[id]
}

func (s *subject) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	what, id := parts[1], parts[2]
	s.tell(map[string]any{"handled": id})
	switch what {
	case "wait":
		<-s.gate(id)
		io.WriteString(w, "wait")
	case "upload":
		body, err := io.ReadAll(r.Body)
		if err == nil {
			fmt.Fprintf(w, "got %d", len(body))
		}
	case "late-upload":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.tell(map[string]any{"handled": id + " read"})
		<-s.gate(id)
		fmt.Fprintf(w, "got %d", len(body))
	case "stream":
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-s.gate(id)
		io.WriteString(w, "last")
	case "throw":
		w.WriteHeader(500)
		io.WriteString(w, "failed")
	case "empty":
		w.WriteHeader(204)
	default:
		io.WriteString(w, what)
	}
}

// List tells the open connections.
func (s *subject) list() {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []map[string]any{}
	for conn, state := range s.conns {
		port := conn.RemoteAddr().(*net.TCPAddr).Port
		list = append(list, map[string]any{"port": port, "state": state.String()})
	}
	sort.Slice(list, func(i, j int) bool { return list[i]["port"].(int) < list[j]["port"].(int) })
	s.out.Encode(map[string]any{"connections": list})
}

func (s *subject) shutdown(call int) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.cancels[call] = cancel
	s.mu.Unlock()
	go func() {
		err := s.server.Shutdown(ctx)
		s.tell(map[string]any{"call": call, "drained": err == nil})
	}()
}

func main() {
	s := &subject{
		gates:   map[string]chan struct{}{},
		conns:   map[net.Conn]http.ConnState{},
		cancels: map[int]context.CancelFunc{},
		out:     json.NewEncoder(os.Stdout),
	}
	s.server.Handler = s
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	s.server.ConnState = func(conn net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if state == http.StateClosed {
			delete(s.conns, conn)
		} else {
			s.conns[conn] = state
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s.tell(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	go s.server.Serve(listener)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var c command
		if err := json.Unmarshal(input.Bytes(), &c); err != nil {
			log.Fatal(err)
		}
		switch c.Does {
		case "list":
			s.list()
		case "release":
			close(s.gate(c.ID))
		case "shutdown":
			s.shutdown(c.Call)
		case "abort":
			s.mu.Lock()
			s.cancels[c.Call]()
			s.mu.Unlock()
		case "close":
			s.server.Close()
		}
	}
}
