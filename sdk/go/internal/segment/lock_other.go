//go:build !unix || solaris || aix

package segment

import (
	"errors"
	"os"
)

// Without the kernel's lock two processes could write one stream: refused.
const hasLocks = false

func flock(*os.File) error { return errors.ErrUnsupported }
