package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/child"
	"github.com/safe-go/safe/internal/redistest"
)

// With -hold.processes 8 -hold.connections 18750 and -v, the test holds 150,000 idle event
// streams and reports the memory; without the race detector.
var (
	holdProcesses   = flag.Int("hold.processes", 2, "number of brokers on one store that TestHold starts")
	holdConnections = flag.Int("hold.connections", 50, "number of event streams to each of them")
)

// Idle event streams are held by several processes on one store, and each is sent an event
// that is inserted at one of them.
func TestHold(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Fsync: "no"})
	var brokers, clients []*exec.Cmd
	var reports []*bufio.Reader
	var first *service
	for range *holdProcesses {
		s, broker := process(t, "", "-store", "redis://"+server.Addr(), "-port", "0")
		brokers = append(brokers, broker)
		if first == nil {
			first = s
			s.join()
			s.insert("before", time.Unix(1, 0), `1`)
		}
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), programVariable+"=client", "HOLD_ADDRESS="+strings.TrimPrefix(s.url, "http://"),
			"HOLD_CONNECTIONS="+strconv.Itoa(*holdConnections))
		c.SysProcAttr, c.Stderr = child.Attributes(), os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		clients, reports = append(clients, c), append(reports, bufio.NewReader(out))
	}
	before := memory(t, brokers)
	for _, c := range clients {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { kill(c) })
	}
	want := func(report string) {
		t.Helper()
		for _, r := range reports {
			if line, err := r.ReadString('\n'); line != report+"\n" {
				t.Fatalf("a client reports %q, want %s; %v", line, report, err)
			}
		}
	}
	want("holding " + strconv.Itoa(*holdConnections))
	total := *holdProcesses * *holdConnections
	after := memory(t, brokers)
	t.Logf("%d event streams on %d processes: %d MiB, %.2f KiB for each (%d MiB before)",
		total, *holdProcesses, after>>10, float64(after-before)/float64(total), before>>10)
	begin := time.Now()
	first.insert("broadcast", time.Unix(1, 0), `2`)
	want("received " + strconv.Itoa(*holdConnections))
	t.Logf("all have received an event after %v; %d MiB then", time.Since(begin).Round(time.Millisecond), memory(t, brokers)>>10)
}

// memory returns the memory of processes in KiB (proportional set size), 0 where the system
// does not say.
func memory(t *testing.T, processes []*exec.Cmd) (sum int) {
	for _, c := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", c.Process.Pid))
		if errors.Is(err, os.ErrNotExist) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var kib int
			if n, _ := fmt.Sscanf(string(line), "Pss: %d kB", &kib); n == 1 {
				sum += kib
			}
		}
	}
	return sum
}

// hold is a client of many event streams. It reports on standard output when all are open,
// and when all have received the event "broadcast".
func hold() {
	n, err := strconv.Atoi(os.Getenv("HOLD_CONNECTIONS"))
	if err != nil {
		panic(err)
	}
	dialing := make(chan struct{}, 64)
	var opened, received sync.WaitGroup
	opened.Add(n)
	for range n {
		received.Go(func() {
			dialing <- struct{}{}
			in, err := openStream(os.Getenv("HOLD_ADDRESS"))
			if err == nil {
				err = readTo(in, "event: before")
			}
			<-dialing
			opened.Done()
			if err == nil {
				err = readTo(in, "event: broadcast")
			}
			if err != nil {
				fmt.Println(err)
			}
		})
	}
	opened.Wait()
	fmt.Println("holding", n)
	received.Wait()
	fmt.Println("received", n)
}

func openStream(address string) (*bufio.Reader, error) {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_, err = conn.Write([]byte("GET /events HTTP/1.1\r\nHost: broker\r\n\r\n"))
	}
	return bufio.NewReaderSize(conn, 64), err
}

// readTo reads up to a line.
func readTo(in *bufio.Reader, line string) error {
	for {
		text, err := in.ReadSlice('\n')
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		case strings.TrimSuffix(string(text), "\n") == line:
			return nil
		}
	}
}
