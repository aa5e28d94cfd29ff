package segment

import (
	"os"
	"syscall"
)

// The length counts as data to fdatasync; times do not.
func datasync(file *os.File) error {
	for {
		if err := syscall.Fdatasync(int(file.Fd())); err != syscall.EINTR {
			return err
		}
	}
}
