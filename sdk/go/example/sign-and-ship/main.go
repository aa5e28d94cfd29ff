// Sign a window, keep it on disk, and ship what waits:
//
//	go run ./example/sign-and-ship http://127.0.0.1:8080 agent-keyring.json demo-1 ./data
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"fractallba/client"
	"fractallba/outbox"
	"fractallba/pcs"
	"fractallba/signals"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: sign-and-ship URL KEYRING KID DIR")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

func run(url, keyring, kid, dir string) error {
	file, err := os.ReadFile(keyring)
	if err != nil {
		return err
	}
	ring, err := pcs.ParseKeyring(file, pcs.NoSecretsOutside)
	if err != nil {
		return err
	}
	text := []byte(strings.Repeat("to be or not to be, that is the question. ", 12))
	window, err := signals.OfBytes(text, signals.DefaultSeed, signals.DefaultScales())
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	createdAt, err := pcs.FormatTimestamp(now)
	if err != nil {
		return err
	}
	// A stream counts its epochs; the clock does for one that sends now and then.
	members := pcs.Members{Epoch: now, ShardID: "go:answers", CreatedAt: createdAt}
	window.Fill(&members)
	record, err := pcs.Sign(&members, ring.Key(kid))
	if err != nil {
		return err
	}

	kept, err := outbox.Open(dir, outbox.Options{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// On disk when it returns: the machine may lose its power now.
	if _, err := kept.Append(ctx, outbox.Window{Source: "example:", Record: record}); err != nil {
		return errors.Join(err, kept.Close())
	}
	c, err := client.New(client.Config{URL: url})
	if err != nil {
		return errors.Join(err, kept.Close())
	}
	defer c.Close()
	// What is not accepted is in DIR/dead-letters.ndjson before it waits no more.
	err = kept.Ship(ctx, c, func(each outbox.Shipped) { fmt.Println(each.Seq, each.Status, each.Code) })
	fmt.Println("waiting", len(kept.Pending()))
	return errors.Join(err, kept.Close())
}
