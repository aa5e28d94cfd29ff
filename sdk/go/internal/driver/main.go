// Command driver is how the project's suite talks to the Go SDK: one JSON object
// a line in, one a line out, as sdk/driver.md says. It is no part of what is
// published.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// A line holds a batch of records at most, 16 MiB of them, in base64.
const lineBytesMax = 64 << 20

// op answers one request, given as its whole line. An error is what the SDK
// should not have said: it is answered as a crash.
type op func(request json.RawMessage) (answer any, err error)

var ops = map[string]op{}

// register adds an op; each file of this folder registers its own.
func register(name string, answer op) { ops[name] = answer }

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
	answers := bufio.NewWriter(out)
	for lines.Scan() {
		data, err := json.Marshal(handled(lines.Bytes()))
		if err != nil {
			return err
		}
		if _, err := answers.Write(append(data, '\n')); err != nil {
			return err
		}
		if err := answers.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

func handled(line []byte) (answer any) {
	defer func() {
		if problem := recover(); problem != nil {
			answer = crash(fmt.Errorf("panic: %v", problem))
		}
	}()
	var request struct{ Op string }
	if err := json.Unmarshal(line, &request); err != nil {
		return crash(errors.New("request: expected a JSON object, got another text"))
	}
	act, is := ops[request.Op]
	if !is {
		return map[string]any{"unknown": request.Op}
	}
	answer, err := act(line)
	if err != nil {
		return crash(err)
	}
	return answer
}

func crash(err error) any { return map[string]any{"crash": err.Error()} }
