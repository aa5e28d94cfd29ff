//go:build race

package segment

// flipStep: the race detector makes each flip ten times as slow and finds
// nothing in them that every third does not; all are flipped without it.
const flipStep = 3
