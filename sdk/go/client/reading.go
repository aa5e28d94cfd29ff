package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"regexp"

	"fractallba/internal/members"
)

// Stored is one record of the caller's tenant, as the server has it.
type Stored struct {
	// Record is the record with sig and without delivery.
	Record json.RawMessage `json:"record"`
	// Outcome is its decision, byte for byte as it was answered first.
	Outcome     json.RawMessage `json:"outcome"`
	ReceivedAt  string          `json:"received_at"`
	Tier        string          `json:"tier"`
	Conflicts   []Conflict      `json:"conflicts"`
	Resolutions []Resolution    `json:"resolutions"`
	// Answer is all of what came.
	Answer *Answer `json:"-"`
}

// Conflict is other content that came under the id of a record.
type Conflict struct {
	ContentDigest string `json:"content_digest"`
	ReceivedAt    string `json:"received_at"`
}

// Resolution is what a person noted about an escalated record.
type Resolution struct {
	Note string `json:"note"`
	Who  string `json:"who"`
	At   string `json:"at"`
}

var pcsIDs = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Get reads one record back; the token needs the scope read.
func (c *Client) Get(ctx context.Context, pcsID string) (*Stored, error) {
	if !pcsIDs.MatchString(pcsID) {
		return nil, &ContractError{Message: "pcs_id: expected 64 lower-case hex digits, got something else"}
	}
	stored := &Stored{}
	answer, err := c.read(ctx, "/v1/pcs/"+pcsID, url.Values{"version": {"1.0"}}, stored)
	stored.Answer = answer
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// Row is one record of a listing.
type Row struct {
	PCSID       string `json:"pcs_id"`
	ShardID     string `json:"shard_id"`
	Epoch       int64  `json:"epoch"`
	Version     string `json:"version"`
	Ledger      string `json:"ledger"`
	Number      int64  `json:"number"`
	Status      int    `json:"status"`
	Outcome     string `json:"outcome"`
	Regime      string `json:"regime"`
	ReceivedAt  string `json:"received_at"`
	Conflicts   int    `json:"conflicts"`
	Resolutions int    `json:"resolutions"`
}

// Page is a part of a listing.
type Page struct {
	Records []Row `json:"records"`
	// Next is the cursor of the page behind it; empty where there is none.
	Next string `json:"next"`
	// Answer is all of what came.
	Answer *Answer `json:"-"`
}

// List reads one page of the tenant's records; the token needs the scope read.
// query holds the parameters of GET /v1/pcs: shard_id, from_epoch, to_epoch,
// since, outcome, regime, cursor, limit.
func (c *Client) List(ctx context.Context, query url.Values) (*Page, error) {
	page := &Page{}
	answer, err := c.read(ctx, "/v1/pcs", query, page)
	page.Answer = answer
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Records yields the records of all pages from query's on. The error, if there
// is one, comes last.
func (c *Client) Records(ctx context.Context, query url.Values) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		asked := url.Values{}
		for name, values := range query {
			asked[name] = values
		}
		for {
			page, err := c.List(ctx, asked)
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, row := range page.Records {
				if !yield(row, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			asked.Set("cursor", page.Next)
		}
	}
}

// read gets a JSON document.
func (c *Client) read(ctx context.Context, path string, query url.Values, into any) (*Answer, error) {
	answer, err := checked(c.untilFinal(ctx, func(ctx context.Context, number int) (*Answer, *UnavailableError) {
		answer, failure := c.once(ctx, request{
			method: http.MethodGet, path: path, query: query, bytesMax: answerBytesMax, number: number,
		})
		if failure == nil && answer.Status/100 == 2 && members.Read(answer.Body, into) != nil {
			return nil, unavailable("GET "+path, "one that is not the server's", nil)
		}
		return answer, failure
	}))
	return answer, err
}
