//go:build !unix || solaris || aix

package segment

import (
	"errors"
	"os"
)

// Without the kernel's lock two processes could write one stream: refused.
func flock(*os.File) error {
	return errors.New("flock is not available on this system: " + errors.ErrUnsupported.Error())
}
