package pcs

import "math"

// Reason is a failed check that an outcome names.
type Reason string

// The reasons, in the order in which an outcome lists them.
const (
	DHatMismatch    Reason = "d_hat_mismatch"
	NJInconsistent  Reason = "n_j_inconsistent"
	CohStarBounds   Reason = "coh_star_bounds"
	RBounds         Reason = "r_bounds"
	RegimeMismatch  Reason = "regime_mismatch"
	BudgetDeviation Reason = "budget_deviation"
	Degraded        Reason = "degraded"
)

// Params is what a verdict depends on beside the record.
type Params struct {
	// Version is what an outcome calls this set.
	Version string
	// TolDHat is how far D_hat may be from the recomputed one, TolBudget how far
	// the budget; both included.
	TolDHat, TolBudget float64
}

var (
	// CurrentParams is what records of version 1.0 are judged by.
	CurrentParams = Params{Version: "1", TolDHat: 1e-6, TolBudget: 1e-6}
	// LegacyParams is what records of version 0.1 are judged by.
	LegacyParams = Params{Version: "legacy/1", TolDHat: 0.15, TolBudget: 0.01}
)

// Outcome is a verdict.
type Outcome struct {
	// Accepted: no check failed that says the record contradicts itself.
	Accepted bool
	// Escalated: accepted, but someone should look.
	Escalated bool
	// Reasons are all failed checks, in order.
	Reasons []Reason
	// RecomputedDHat is nil for version 0.1, whose answer must not say what is
	// not signed.
	RecomputedDHat   *float64
	RecomputedBudget float64
	ParamsVersion    string
}

// Status returns the HTTP status that says the same: 200, 202 or 422.
func (o *Outcome) Status() int {
	switch {
	case !o.Accepted:
		return 422
	case o.Escalated:
		return 202
	}
	return 200
}

// note lists a check that failed: one that says the record contradicts itself,
// or one that someone should look at.
func (o *Outcome) note(failed bool, reason Reason, contradicts bool) {
	if failed {
		o.Reasons = append(o.Reasons, reason)
		o.Accepted = o.Accepted && !contradicts
	}
}

func (o *Outcome) settle() *Outcome {
	o.Escalated = o.Accepted && len(o.Reasons) > 0
	return o
}

// Judge returns the verdict on a record under a parameter set: pure, the same
// everywhere and at any time. Every check of specs/pcs.md section 6 is run.
func Judge(record *Record, params Params) *Outcome {
	m := &record.members
	slope := dHat(m.Scales, m.NJ)
	// The next start from the record's own values, so that one wrong number is
	// one reason.
	budget := Budget(m.DHat, m.CohStar, m.R)
	o := &Outcome{
		Accepted: true, RecomputedDHat: &slope, RecomputedBudget: budget, ParamsVersion: params.Version,
	}
	o.note(math.Abs(slope-m.DHat) > params.TolDHat, DHatMismatch, true)
	o.note(!isConsistent(m.Scales, m.NJ), NJInconsistent, true)
	o.note(RegimeOf(m.DHat, m.CohStar) != m.Regime, RegimeMismatch, false)
	o.note(math.Abs(budget-m.Budget) > params.TolBudget, BudgetDeviation, false)
	o.note(m.FT.Degraded, Degraded, false)
	return o.settle()
}

// isConsistent reports whether the counts can come from points in a cube at all.
//
// A grid refines another when its scale is a multiple, and then occupies no
// fewer cells. In doubles that holds only where the coarser scale is a power of
// two, so it is asked only there.
func isConsistent(scales, counts []int64) bool {
	for a, coarse := range scales {
		// No count is above 2^53, and the cube of a scale of 2^16 is 2^48.
		if counts[a] > coarse*coarse*coarse {
			return false
		}
		for b := a + 1; b < len(scales); b++ {
			if coarse&(coarse-1) == 0 && scales[b]%coarse == 0 && counts[a] > counts[b] {
				return false
			}
		}
	}
	return true
}

// DecisionBody returns the canonical JSON that an agent gets of an outcome, the
// same in every region.
func DecisionBody(pcsID, recordDigest string, outcome *Outcome) ([]byte, error) {
	reasons := make([]any, len(outcome.Reasons))
	for i, reason := range outcome.Reasons {
		reasons[i] = string(reason)
	}
	var slope any
	if outcome.RecomputedDHat != nil {
		slope = *outcome.RecomputedDHat
	}
	return Canonical(map[string]any{
		"pcs_id":            pcsID,
		"record_digest":     recordDigest,
		"accepted":          outcome.Accepted,
		"escalated":         outcome.Escalated,
		"reasons":           reasons,
		"recomputed_D_hat":  slope,
		"recomputed_budget": outcome.RecomputedBudget,
		"params_version":    outcome.ParamsVersion,
	})
}
