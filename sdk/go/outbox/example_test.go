package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"fractallba/client"
	"fractallba/outbox"
	"fractallba/pcs"
	"fractallba/signals"
)

// accepting is a server that accepts every record.
func accepting(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	record, err := pcs.ParseRecord(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprintf(w, `{"pcs_id":%q,"accepted":true}`, record.PCSID())
}

// A window is kept when Append returns, and waits until the server answered.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(accepting))
	defer server.Close()
	folder, err := os.MkdirTemp("", "outbox")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)

	key, err := pcs.NewHMACKey("lab-1", bytes.Repeat([]byte{0xaa}, 32))
	if err != nil {
		panic(err)
	}
	window, err := signals.OfBytes([]byte("a line of the log, again and again"), signals.DefaultSeed, signals.DefaultScales())
	if err != nil {
		panic(err)
	}
	members := pcs.Members{ShardID: "lab:stream-1", CreatedAt: "2026-11-21T06:00:00.123Z"}
	window.Fill(&members)
	record, err := pcs.Sign(&members, key)
	if err != nil {
		panic(err)
	}

	kept, err := outbox.Open(folder, outbox.Options{})
	if err != nil {
		panic(err)
	}
	defer kept.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := kept.Append(ctx, outbox.Window{Source: "api:", Record: record}); err != nil {
		panic(err)
	}
	fmt.Println("waiting:", len(kept.Pending()))

	c, err := client.New(client.Config{URL: server.URL})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	err = kept.Ship(ctx, c, func(each outbox.Shipped) { fmt.Println("answered:", each.Status) })
	fmt.Println("waiting:", len(kept.Pending()), err)
	// Output:
	// waiting: 1
	// answered: 200
	// waiting: 0 <nil>
}
