//go:build unix && !solaris && !aix

package segment

import (
	"os"
	"syscall"
)

const (
	hasLocks = true
	noFollow = syscall.O_NOFOLLOW
)

func flock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		return errIsHeld
	}
	return err
}
