//go:build !race

package segment

const flipStep = 1
