// Reads a log with go-libaudit: parses each line, reassembles events, looks up three fields of each, and counts.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"
	"github.com/elastic/go-libaudit/v2/auparse"
)

const longestLine = 1 << 20

type counter struct{ records, events, matches int }

func (c *counter) ReassemblyComplete(messages []*auparse.AuditMessage) {
	c.events++
	for _, message := range messages {
		if message.RecordType != auparse.AUDIT_SYSCALL {
			continue
		}
		data, err := message.Data()
		if err == nil && data["a2"] == "80000" && data["pid"] != "" {
			c.matches++
		}
	}
}

func (c *counter) EventsLost(int) {}

func run(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	count := &counter{}
	reassembler, err := libaudit.NewReassembler(50, 2*time.Second, count)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, longestLine), longestLine)
	for lines.Scan() {
		message, err := auparse.ParseLogLine(lines.Text())
		if err != nil {
			return err
		}
		count.records++
		reassembler.PushMessage(message)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	reassembler.Close()
	fmt.Printf("{\"records\": %d, \"events\": %d, \"matches\": %d}\n", count.records, count.events, count.matches)
	return nil
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
