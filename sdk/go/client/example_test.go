package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"fractallba/client"
)

// conflicting is a server that knows another content under every id.
func conflicting(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusConflict)
	_, _ = io.WriteString(w, `{"status":409,"code":"pcs_id_conflict","pcs_id":"5f0c"}`)
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(conflicting))
	defer server.Close()

	c, err := client.New(client.Config{URL: server.URL, Token: "of-the-caller"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	record := []byte(`{"schema":"fractal-lba-kakeya"}`) // as pcs.Sign gives it
	answer, err := c.Submit(ctx, record)

	var refused *client.Problem
	var unavailable *client.UnavailableError
	switch {
	case err == nil:
		fmt.Println("decided:", answer.Status)
	case errors.As(err, &refused): // never send these bytes again
		fmt.Println("refused:", refused.Status, refused.Code)
	case errors.As(err, &unavailable): // send the same bytes again later
		fmt.Println("later:", unavailable.Code)
	default: // the URL, the certificates or the record are not what they should be
		fmt.Println(err)
	}
	// Output: refused: 409 pcs_id_conflict
}
