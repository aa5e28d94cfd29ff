package client

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

const handshakeByte = 0x16

// listening accepts connections and gives each, with its first byte still to be
// read, to serve, which is told whether a handshake begins.
func listening(t *testing.T, serve func(connection net.Conn, isHandshake bool)) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close() //nolint:errcheck // the test's end
				reader := bufio.NewReader(connection)
				first, err := reader.Peek(1)
				if err == nil {
					serve(peeked{connection, reader}, first[0] == handshakeByte)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// peeked is a connection some of whose bytes were looked at.
type peeked struct {
	net.Conn
	reader *bufio.Reader
}

func (p peeked) Read(data []byte) (int, error) { return p.reader.Read(data) }

// withTLS is a server with TLS that meets HTTP with these bytes.
func withTLS(t *testing.T, said string) string {
	known := httptest.NewUnstartedServer(http.NotFoundHandler())
	known.StartTLS()
	certificates := known.TLS.Certificates
	known.Close()
	return listening(t, func(connection net.Conn, isHandshake bool) {
		if isHandshake {
			_ = tls.Server(connection, &tls.Config{Certificates: certificates}).Handshake()
			_, _ = io.Copy(io.Discard, connection)
			return
		}
		_, _ = io.WriteString(connection, said)
	})
}

// expectScheme calls in every way and wants each to end with these words after
// one request.
func expectScheme(t *testing.T, url, words string) {
	t.Helper()
	calls := map[string]func(c *Client) error{
		"submit": func(c *Client) error { _, err := c.Submit(t.Context(), []byte(payload)); return err },
		"get":    func(c *Client) error { _, err := c.Get(t.Context(), strings.Repeat("a", 64)); return err },
		"batch": func(c *Client) error {
			results, err := c.Batch(t.Context(), [][]byte{[]byte(payload), []byte(payload)})
			for _, each := range results {
				if each.Err != err {
					t.Errorf("batch: got %v beside %v", each.Err, err)
				}
			}
			return err
		},
	}
	for name, call := range calls {
		c, waits := opened(t, Config{URL: url, Token: "s3cret"})
		err := call(c)
		var scheme *SchemeError
		if !errors.As(err, &scheme) || !strings.HasSuffix(err.Error(), words) || len(*waits) > 0 {
			t.Errorf("%s: got %v after %d waits", name, err, len(*waits))
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got a secret", name)
		}
	}
}

func TestHTTPToAServerWithTLSEndsACall(t *testing.T) {
	const words = "expected a server that speaks HTTP without TLS, got one with: is its URL https://?"
	for name, said := range map[string]string{
		"closes":  "",
		"alerts":  "\x15\x03\x03\x00\x02\x02\x46",
		"refuses": "HTTP/1.0 400 Bad Request\r\n\r\nThis is HTTPS.\n",
	} {
		t.Run(name, func(t *testing.T) { expectScheme(t, "http://"+withTLS(t, said), words) })
	}
}

func TestHTTPSToAServerWithoutTLSEndsACall(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	words := "expected a server that speaks TLS, got one that does not: is its URL http://?"
	expectScheme(t, strings.Replace(server.URL, "http:", "https:", 1), words)
	expectScheme(t, "https://"+listening(t, func(connection net.Conn, _ bool) {
		_, _ = io.WriteString(connection, "SSH-2.0-OpenSSH_9.2\r\n")
	}), words)
}

func TestAConnectionThatOnlyEndsIsTriedAgainAndAskedOnceForTLS(t *testing.T) {
	var asked, requests atomic.Int32
	address := listening(t, func(connection net.Conn, isHandshake bool) {
		switch {
		case isHandshake:
			asked.Add(1)
		case requests.Add(1) > 3:
			if made, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
				_, _ = io.Copy(io.Discard, made.Body)
				_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			}
		}
	})
	c, _ := opened(t, Config{URL: "http://" + address})
	answer, err := c.Submit(t.Context(), []byte(payload))
	if err != nil || answer.Status != 200 || asked.Load() != 1 {
		t.Fatalf("got %v, %v, asked %d times", answer, err, asked.Load())
	}
}
