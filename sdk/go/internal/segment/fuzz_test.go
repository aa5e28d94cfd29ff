package segment

import (
	"bytes"
	"testing"
)

// FuzzSegment opens whatever bytes as a stream's last segment: nothing panics,
// what is given verifies, and the stream goes on and is sound afterwards.
func FuzzSegment(f *testing.F) {
	name, data := written(f, false)
	_, sealed := written(f, true)
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add(data, uint16(0), uint16(0))
	f.Add(data, uint16(300), uint16(40))
	f.Add(sealed, uint16(250), uint16(8))
	f.Add(bytes.Repeat(batchMagic, 100), uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, changed []byte, from, count uint16) {
		bent := bytes.Clone(data)
		if len(changed) > 0 { // a part of it in the place of what was written
			at, end := min(int(from), len(bent)), min(int(from)+int(count), len(bent))
			bent = append(append(bytes.Clone(bent[:at]), changed...), bent[end:]...)
		}
		disk := newMemoryDisk(1)
		disk.names["/s/"+name] = &node{data: bent}
		s, err := Open(disk, "/s", "outbox", small)
		if err != nil {
			return // of a newer format, or another stream's
		}
		before, _ := scanned(t, s)
		mustAppend(t, s, 2)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, disk, "/s")
		after, _ := scanned(t, s)
		if len(after) != len(before)+2 || s.Recovery().TornBytes != 0 {
			t.Fatalf("expected %d frames and no torn tail, got %d and %d bytes", len(before)+2, len(after), s.Recovery().TornBytes)
		}
	})
}
