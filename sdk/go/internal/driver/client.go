package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"fractallba/client"
)

func init() {
	register("client.open", openClient)
	register("client.submit", submit)
	register("client.batch", batch)
	register("client.get", get)
	register("client.list", list)
}

// talk is what the requests share: the client that is open.
var talk struct {
	config   client.Config
	client   *client.Client
	deadline time.Duration
}

var errNoClient = errors.New("expected client.open first")

// within is the context of one call.
func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), talk.deadline)
}

func openClient(line json.RawMessage) (any, error) {
	var given struct {
		URL       string
		Token     string
		Retries   int
		DeadlineS float64 `json:"deadline_s"`
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	config := client.Config{URL: given.URL, Token: given.Token, Retry: client.RetryPolicy{Attempts: given.Retries + 1}}
	opened, err := client.New(config)
	if err != nil {
		return said(nil, err), nil
	}
	if talk.client != nil {
		talk.client.Close()
	}
	talk.config, talk.client = config, opened
	talk.deadline = time.Duration(given.DeadlineS * float64(time.Second))
	return map[string]any{"ok": true}, nil
}

func submit(line json.RawMessage) (any, error) {
	var given struct{ Body []byte }
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	if talk.client == nil {
		return nil, errNoClient
	}
	ctx, cancel := within()
	defer cancel()
	return said(talk.client.Submit(ctx, given.Body)), nil
}

func batch(line json.RawMessage) (any, error) {
	var given struct {
		Bodies   [][]byte
		Encoding *string
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	if talk.client == nil {
		return nil, errNoClient
	}
	config := talk.config
	config.Compression = client.None
	if given.Encoding != nil {
		known, isKnown := map[string]client.Compression{"gzip": client.Gzip, "zstd": client.Zstd}[*given.Encoding]
		if !isKnown {
			return map[string]any{"unknown": "encoding"}, nil
		}
		config.Compression = known
	}
	to, err := client.New(config)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	ctx, cancel := within()
	defer cancel()
	results, err := to.Batch(ctx, given.Bodies)
	var refused *client.Problem
	if errors.As(err, &refused) && isWhole(results, refused) {
		return map[string]any{"refusal": said(nil, err)}, nil
	}
	if results == nil {
		return said(nil, err), nil
	}
	answers := make([]any, len(results))
	for i, each := range results {
		answers[i] = said(each.Answer, each.Err)
	}
	return map[string]any{"answers": answers}, nil
}

// isWhole tells the refusal of a batch from those of all its lines.
func isWhole(results []client.Result, refused *client.Problem) bool {
	for _, each := range results {
		var own *client.Problem
		if !errors.As(each.Err, &own) || own.Answer != refused.Answer {
			return false
		}
	}
	return true
}

func get(line json.RawMessage) (any, error) {
	var given struct {
		PCSID string `json:"pcs_id"`
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	if talk.client == nil {
		return nil, errNoClient
	}
	ctx, cancel := within()
	defer cancel()
	stored, err := talk.client.Get(ctx, given.PCSID)
	if err != nil {
		return said(nil, err), nil
	}
	return said(stored.Answer, nil), nil
}

func list(line json.RawMessage) (any, error) {
	var given struct{ Query map[string]string }
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	if talk.client == nil {
		return nil, errNoClient
	}
	query := url.Values{}
	for name, value := range given.Query {
		query.Set(name, value)
	}
	ctx, cancel := within()
	defer cancel()
	page, err := talk.client.List(ctx, query)
	if err != nil {
		return said(nil, err), nil
	}
	return said(page.Answer, nil), nil
}

// said is a final answer of the server, or why there is none.
func said(answer *client.Answer, err error) any {
	var refused *client.Problem
	var unavailable *client.UnavailableError
	var contract *client.ContractError
	var scheme *client.SchemeError
	var untrusted *client.UntrustedError
	switch {
	case errors.As(err, &refused):
		answer = refused.Answer
	case errors.As(err, &unavailable):
		kind, code := "unavailable", orNull(unavailable.Code)
		if unavailable.IsDeadline() {
			kind, code = "deadline", nil
		}
		return failure(kind, code)
	case errors.As(err, &contract):
		return failure("contract", nil)
	case errors.As(err, &scheme):
		return failure("scheme", nil)
	case errors.As(err, &untrusted):
		return map[string]any{"error": map[string]any{"kind": "untrusted", "code": nil}, "words": err.Error()}
	case err != nil:
		return crash(err)
	}
	return map[string]any{
		"status": answer.Status, "replayed": answer.Replayed, "code": orNull(answer.Code),
		"body": answer.Body, "attempts": answer.Attempts,
	}
}

func failure(kind string, code any) any {
	return map[string]any{"error": map[string]any{"kind": kind, "code": code}}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
