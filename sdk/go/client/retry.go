package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how often a call is tried and how long it waits between two
// attempts. The zero value of each field means its default.
type RetryPolicy struct {
	// Attempts bounds the requests of one call, 1 or more; default 8. The
	// context's deadline may end it earlier.
	Attempts int
	// WaitFirst is the upper bound of the first wait; each further one doubles
	// it. Default 100 ms: what a server needs to bind its port again.
	WaitFirst time.Duration
	// WaitMax is where the doubling ends. Default 10 s: it keeps a fleet's load
	// on a server that is down low, and its delay after the server is back short.
	WaitMax time.Duration
	// RetryAfterMax is what a longer Retry-After counts as. Default 300 s: a
	// mistaken date must not silence a sender for a year.
	RetryAfterMax time.Duration
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	or := func(value *time.Duration, otherwise time.Duration) {
		if *value == 0 {
			*value = otherwise
		}
	}
	if p.Attempts == 0 {
		p.Attempts = 8
	}
	or(&p.WaitFirst, 100*time.Millisecond)
	or(&p.WaitMax, 10*time.Second)
	or(&p.RetryAfterMax, 300*time.Second)
	return p
}

func (p RetryPolicy) check() error {
	if p.Attempts < 1 || p.WaitFirst < 0 || p.WaitMax < 0 || p.RetryAfterMax < 0 {
		return &ContractError{Message: "retry policy: expected at least one attempt and no negative wait, got another"}
	}
	return nil
}

// wait is how long to wait behind an attempt, 1 and up: full jitter (Brooker
// 2015, "Exponential backoff and jitter") on top of what the server asked. It is
// added: a server that tells everyone "in one second" would otherwise be met by
// everyone in the same instant.
func (p RetryPolicy) wait(attempt int, asked time.Duration, chance func() float64) time.Duration {
	ceiling := p.WaitFirst
	for ; attempt > 1 && ceiling < p.WaitMax; attempt-- {
		ceiling *= 2
	}
	ceiling = min(ceiling, p.WaitMax)
	return min(asked, p.RetryAfterMax) + time.Duration(chance()*float64(ceiling))
}

// pause is where time and chance come from.
type pause struct {
	sleep  func(context.Context, time.Duration) error
	chance func() float64
	now    func() time.Time
}

var realPause = pause{
	sleep: func(ctx context.Context, wait time.Duration) error {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		}
	},
	chance: rand.Float64,
	now:    time.Now,
}

// attempt makes one request. It returns a final answer, or an *UnavailableError
// that lets another one follow, but for one with a *SchemeError or an
// *UntrustedError in it.
type attempt func(ctx context.Context, number int) (*Answer, *UnavailableError)

// untilFinal calls attempt until its answer is final, its attempts are used up,
// the context ends or another attempt would be of no use. It does not begin a
// wait that the deadline would end.
func (c *Client) untilFinal(ctx context.Context, try attempt) (*Answer, error) {
	for number := 1; ; number++ {
		answer, failure := try(ctx, number)
		if failure == nil {
			return answer, nil
		}
		failure.Attempts = number
		if isForGood(failure.Err) {
			return nil, failure.Err
		}
		if err := ctx.Err(); err != nil {
			failure.Err = err
			return nil, failure
		}
		if number >= c.retry.Attempts {
			return nil, failure
		}
		wait := c.retry.wait(number, failure.RetryAfter, c.pause.chance)
		if until, isBound := ctx.Deadline(); isBound && c.pause.now().Add(wait).After(until) {
			failure.Message += fmt.Sprintf("; the next attempt, in %s, would be behind the deadline", wait.Round(time.Millisecond))
			failure.Err = context.DeadlineExceeded
			return nil, failure
		}
		if err := c.pause.sleep(ctx, wait); err != nil {
			failure.Err = err
			return nil, failure
		}
	}
}

// isForGood tells whether the next attempt would meet the same.
func isForGood(err error) bool {
	var scheme *SchemeError
	var untrusted *UntrustedError
	return errors.As(err, &scheme) || errors.As(err, &untrusted)
}
