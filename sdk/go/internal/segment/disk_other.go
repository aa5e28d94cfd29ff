//go:build !linux

package segment

import "os"

func datasync(file *os.File) error { return file.Sync() }
