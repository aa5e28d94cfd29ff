// Package client sends PCS records to a server and reads them back.
//
// A call is tried until an answer is final, its attempts are used up or its
// context ends. What is final and a success comes back as a value, a final
// refusal as a *Problem with the server's code, no final answer as an
// *UnavailableError: the same bytes may then be sent again. A URL with the other
// scheme than its server's is a *SchemeError, and a server that is not trusted an
// *UntrustedError, both at once. Nothing here logs, and no error holds a body, a
// record or a token. A redirect is not followed, and the size of an answer is
// bounded.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"fractallba"
)

const (
	// answerBytesMax bounds an answer: a record of at most 64 KiB, its outcome
	// and at most 8 conflicts of 64 KiB.
	answerBytesMax = 1 << 20
	// More sockets than requests in flight are never used.
	connectionsMax = 64
	// A group commit on a struggling disk takes less; a lost answer is fetched
	// by a repeat.
	timeoutDefault = 30 * time.Second
)

// Config is what a Client is made with.
type Config struct {
	// URL is http://HOST:PORT or https://HOST:PORT, with a path where the
	// server has one.
	URL string
	// Token is the bearer token that names the caller; submitting works
	// without one.
	Token string
	// TLS says whom to trust and who to be; nil: whom the system trusts.
	TLS *tls.Config
	// Timeout bounds one attempt, connecting and reading included; default 30 s.
	Timeout time.Duration
	// Retry says how often and how soon a call is tried again.
	Retry RetryPolicy
	// Compression of batches: Gzip, Zstd or None; default Gzip.
	Compression Compression
}

// Format writes what may be logged.
func (c Config) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "client.Config") }

// Client speaks to one server. It may be used by any number of goroutines.
type Client struct {
	base        *url.URL
	http        *http.Client
	authorize   func(http.Header) // holds the token, so that printing a Client does not show it
	timeout     time.Duration
	retry       RetryPolicy
	compression Compression
	pause       pause
	scheme      *schemeCheck
}

// New prepares a client; nothing is connected yet.
func New(config Config) (*Client, error) {
	base, err := checkedURL(config.URL)
	if err != nil {
		return nil, err
	}
	retry := config.Retry.withDefaults()
	if err := retry.check(); err != nil {
		return nil, err
	}
	if config.Timeout < 0 {
		return nil, &ContractError{Message: "timeout: expected none or a positive one, got a negative one"}
	}
	if strings.ContainsFunc(config.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, &ContractError{Message: "token: expected ASCII without white space, got something else"}
	}
	if _, isKnown := encoders[config.Compression]; !isKnown {
		return nil, &ContractError{Message: "compression: expected Gzip, Zstd or None, got another"}
	}
	if config.Timeout == 0 {
		config.Timeout = timeoutDefault
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config.TLS
	transport.DisableCompression = true // nobody asked for a compressed answer
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = connectionsMax, connectionsMax
	transport.MaxResponseHeaderBytes = 64 << 10
	token := config.Token
	return &Client{
		base: base,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		authorize: func(header http.Header) {
			if token != "" {
				header.Set("Authorization", "Bearer "+token)
			}
		},
		timeout: config.Timeout, retry: retry, compression: config.Compression, pause: realPause,
		scheme: &schemeCheck{},
	}, nil
}

// WithRetry returns a client that shares the connections of this one and tries
// again by another policy; one that cannot be is replaced by its default.
func (c *Client) WithRetry(policy RetryPolicy) *Client {
	other := *c
	if other.retry = policy.withDefaults(); other.retry.check() != nil {
		other.retry = RetryPolicy{}.withDefaults()
	}
	return &other
}

// Close closes connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Submit sends one record, as pcs gives its bytes, until an answer is final. A
// 200, a 202, and a 422 that is a decision are answers; any other final one is
// a *Problem.
func (c *Client) Submit(ctx context.Context, body []byte) (*Answer, error) {
	answer, err := c.untilFinal(ctx, func(ctx context.Context, number int) (*Answer, *UnavailableError) {
		return c.once(ctx, request{
			method: http.MethodPost, path: "/v1/pcs/submit", body: body, kind: "application/json",
			bytesMax: answerBytesMax, number: number,
		})
	})
	return checked(answer, err)
}

// checked makes a final refusal an error.
func checked(answer *Answer, err error) (*Answer, error) {
	switch {
	case err != nil:
		return nil, err
	case answer.Status/100 == 2, answer.Status == http.StatusUnprocessableEntity && answer.Code == "":
		return answer, nil
	}
	return nil, problemOf(answer)
}

// request is one request to be made.
type request struct {
	method, path   string
	query          url.Values
	body           []byte
	kind, encoding string // of the body
	bytesMax       int64  // of the answer
	number         int    // of the attempt
}

// once makes one request and returns its answer if that is final.
func (c *Client) once(ctx context.Context, r request) (*Answer, *UnavailableError) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	to := *c.base
	to.Path += r.path
	where := r.method + " " + to.String()
	to.RawQuery = r.query.Encode()
	made, err := http.NewRequestWithContext(ctx, r.method, to.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, unavailable(where, "a request that cannot be made", nil)
	}
	made.Header.Set("User-Agent", "fractal-lba-go/"+fractallba.SDKVersion)
	made.Header.Set("Accept-Encoding", "identity")
	// Not sent: it lets the transport take a kept connection that the server
	// had closed for what it is, and open another one.
	made.Header["X-Idempotency-Key"] = []string{}
	if r.kind != "" {
		made.Header.Set("Content-Type", r.kind)
	}
	if r.encoding != "" {
		made.Header.Set("Content-Encoding", r.encoding)
	}
	c.authorize(made.Header)
	response, err := c.http.Do(made)
	if err != nil {
		return nil, c.scheme.failed(ctx, &to, where, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if encoding := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding"))); encoding != "" && encoding != "identity" {
		return nil, unavailable(where, "a compressed one, which nobody asked for", nil)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, r.bytesMax+1))
	if err != nil {
		return nil, unavailable(where, words(err), cause(err))
	}
	if int64(len(body)) > r.bytesMax {
		return nil, unavailable(where, fmt.Sprintf("one of more than %d bytes", r.bytesMax), nil)
	}
	answer := &Answer{
		Status: response.StatusCode, Body: body,
		Replayed:   strings.EqualFold(strings.TrimSpace(response.Header.Get("Idempotent-Replayed")), "true"),
		ReceivedAt: response.Header.Get("X-Received-At"),
		Code:       problemCode(response.StatusCode, body),
		RequestID:  response.Header.Get("X-Request-Id"),
		Attempts:   r.number,
		retryAfter: retryAfter(response.Header, c.pause.now()),
	}
	if !IsFinal(answer.Status) {
		return nil, openAnswer(where, answer)
	}
	if failure := c.scheme.answered(ctx, &to, where, answer); failure != nil {
		return nil, failure
	}
	return answer, nil
}

func unavailable(where, got string, err error) *UnavailableError {
	return &UnavailableError{Message: where + ": expected an answer, got " + got, Err: err}
}

// openAnswer is an answer that leaves the record's fate open.
func openAnswer(where string, answer *Answer) *UnavailableError {
	return &UnavailableError{
		Message: strings.TrimRight(fmt.Sprintf("%s: expected a final answer, got %d %s", where, answer.Status, answer.Code), " "),
		Status:  answer.Status, Code: answer.Code, RetryAfter: answer.retryAfter,
	}
}

var hosts = regexp.MustCompile(`^[^\s/?#@]+$`)

func checkedURL(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	// Said without repeating the text: a URL with a user may hold a password.
	switch {
	case err != nil, base.Scheme != "http" && base.Scheme != "https", !hosts.MatchString(base.Host), base.Hostname() == "":
		return nil, &ContractError{Message: "server URL: expected http://HOST:PORT or https://HOST:PORT, got something else"}
	case base.User != nil:
		return nil, &ContractError{Message: "server URL: expected no user or password in it, got one"}
	case base.RawQuery != "" || base.Fragment != "" || base.ForceQuery:
		return nil, &ContractError{Message: "server URL: expected no query and no fragment, got one"}
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	return base, nil
}
