//go:build !unix || solaris || aix

package segment

import (
	"errors"
	"os"
)

// Without the kernel's lock two processes could write one stream: refused.
const (
	hasLocks = false
	noFollow = 0
)

func flock(*os.File) error { return errors.ErrUnsupported }
