package segment

import "path/filepath"

// Recovery is what opening a stream found.
type Recovery struct {
	Frames    int // sound frames of the last segment, the only one that opening reads whole
	Copied    int // those of them that went to the fresh segment: the last ones of the stream
	TornBytes int // in CutFiles, names in the stream's folder
	CutFiles  []string
	Damage    []Damage // what was seen on the way; a scan sees all of it
}

// recovered is a stream ready to be written to.
type recovered struct {
	older    []file
	active   *writer
	recovery Recovery
}

// plan is what is to be done about the last segment.
type plan struct {
	previousID  ID
	previousEnd int
	passedFrom  uint64 // unknown: nothing was passed over
	nextSeq     uint64
	copied      []NewFrame
	torn        []byte
	frames      int
	damage      []Damage
}

// recoverFolder makes a stream's folder sound and opens a fresh segment in it:
// one way for a crash, a power loss and a fence. The caller holds the lock.
//
// A crash between any two steps leaves what the next recovery finds: remove
// files that never got their name; take the last segment apart; keep its torn
// tail as NAME.cut; make the fresh segment with a copy of the frames that
// survived above the durable end (bytes read from the page cache may never
// have reached the disk); cut the old one, and remove what holds no frame.
func recoverFolder(disk Storage, folder, stream string) (recovered, error) {
	all, err := readFolder(disk, folder, stream)
	if err != nil {
		return recovered{}, err
	}
	damage, err := damageBetween(disk, all)
	if err != nil {
		return recovered{}, err
	}
	for _, path := range all.unfinished {
		if err := disk.Remove(path); err != nil {
			return recovered{}, err
		}
	}
	p, err := planFor(disk, all)
	if err != nil {
		return recovered{}, err
	}
	ordinal := uint64(1)
	var cutFiles []string
	if len(all.files) > 0 {
		last := all.files[len(all.files)-1]
		ordinal = last.ordinal + 1
		if len(p.torn) > 0 {
			if err := keepTorn(disk, last.path, p.torn, stream); err != nil {
				return recovered{}, err
			}
			cutFiles = []string{last.name() + cutSuffix}
		}
	}
	firstSeq := p.nextSeq - uint64(len(p.copied))
	createdNS, id := disk.Stamp()
	header := Header{
		Stream: stream, Ordinal: ordinal, ID: id, FirstSeq: firstSeq,
		PreviousID: p.previousID, PreviousEnd: uint64(p.previousEnd),
		CreatedNS: createdNS, KeptFrom: all.keptFrom, PassedFrom: firstSeq,
	}
	if p.passedFrom != unknown {
		header.PassedFrom = p.passedFrom
	}
	active, err := createSegment(disk, folder, header, p.copied)
	if err != nil {
		return recovered{}, err
	}
	older, err := tidy(disk, folder, stream, header.ID)
	if err != nil {
		_ = active.file.Close() // its frames are durable
		return recovered{}, err
	}
	return recovered{older: older, active: active, recovery: Recovery{
		Frames: p.frames, Copied: len(p.copied), TornBytes: len(p.torn), CutFiles: cutFiles,
		Damage: append(damage, p.damage...),
	}}, nil
}

func planFor(disk Storage, all listing) (plan, error) {
	if len(all.files) == 0 {
		return plan{nextSeq: 1}, nil
	}
	last := all.files[len(all.files)-1]
	data, err := readWhole(disk, last)
	if err != nil {
		return plan{}, err
	}
	expected := unknown
	if last.header == nil {
		if expected, err = nextSeqAfter(disk, all); err != nil {
			return plan{}, err
		}
	}
	t := examine(data, last.key, firstSeqOf(last, data, expected))
	p := plan{
		previousID: last.key.id, previousEnd: t.durableEnd,
		nextSeq: max(t.nextSeq, expected, 1), torn: data[t.tornAt:],
	}
	if damage := headerDamage(last); damage != nil {
		p.damage = append(p.damage, *damage)
	}
	for _, each := range t.kept {
		if each.kind == isGap {
			p.damage = append(p.damage, *gapDamage(last, each))
		} else {
			p.frames++
		}
	}
	for _, each := range t.survivors {
		// What an older segment still holds too, because a crash came before
		// it was cut, is not new.
		if each.first >= expected {
			p.copied = append(p.copied, frameOf(data, each).NewFrame)
		}
	}
	// A segment without a frame or damage below its durable end is passed over
	// and removed; what it says goes on to be said.
	if last.header != nil && len(t.kept) == len(t.survivors) {
		p.previousID, p.previousEnd = last.header.PreviousID, int(last.header.PreviousEnd)
		p.passedFrom = last.header.PassedFrom
	}
	return p, nil
}

// nextSeqAfter is the number behind all segments but the last, for where its
// damaged header is silent.
func nextSeqAfter(disk Storage, all listing) (uint64, error) {
	count := len(all.files) - 1
	start, next := 0, all.keptFrom
	for i := count - 1; i >= 0; i-- {
		if all.files[i].header != nil {
			start, next = i, all.files[i].header.FirstSeq
			break
		}
	}
	for each, err := range scanRange(disk, all, start, count) {
		if err != nil {
			return 0, err
		}
		if last := each.lastSeq(); last != unknown {
			next = max(next, last+1)
		}
	}
	return next, nil
}

// damageBetween is what is wrong with the older segments as far as names,
// lengths and headers tell. Only where something is wrong segments are read.
func damageBetween(disk Storage, all listing) ([]Damage, error) {
	var damage []Damage
	stop := 0
	for start := range all.files {
		if start < stop {
			continue
		}
		for stop = start; stop < len(all.files) && isSuspect(all, stop); {
			stop++
		}
		for each, err := range scanRange(disk, all, start, stop) {
			if err != nil {
				return nil, err
			}
			if each.Damage != nil && each.Damage.Segment != all.files[len(all.files)-1].name() {
				damage = append(damage, *each.Damage)
			}
		}
	}
	return damage, nil
}

func isSuspect(all listing, i int) bool {
	each := all.files[i]
	if each.header == nil || (each.end >= 0 && each.size < each.end) {
		return true
	}
	if i == 0 && each.header.FirstSeq > all.keptFrom {
		return true
	}
	isAfterBreak := i > 0 && all.files[i-1].end < 0
	return isAfterBreak || (each.end < 0 && i < len(all.files)-1)
}

// keepTorn makes a torn tail durable in a file of its own.
func keepTorn(disk Storage, path string, torn []byte, stream string) error {
	kept := path + cutSuffix
	opened, err := createWhole(disk, kept+newSuffix, torn, stream)
	if err != nil {
		return err
	}
	if err := opened.Close(); err != nil {
		return err
	}
	if err := disk.Rename(kept+newSuffix, kept); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(kept))
}

// tidy cuts off what is superseded and returns the segments before the fresh one.
func tidy(disk Storage, folder, stream string, fresh ID) ([]file, error) {
	all, err := readFolder(disk, folder, stream)
	if err != nil {
		return nil, err
	}
	var older []file
	for _, each := range all.files {
		if each.end >= 0 && each.size > each.end {
			if err := cut(disk, each); err != nil {
				return nil, err
			}
			each.size = each.end
		}
		if each.key.id != fresh {
			older = append(older, each)
		}
	}
	for _, path := range all.removable {
		if err := disk.Remove(path); err != nil {
			return nil, err
		}
	}
	return older, nil
}

func cut(disk Storage, each file) error {
	opened, err := disk.Open(each.path, true)
	if err != nil {
		return err
	}
	if err = opened.Truncate(int64(each.end)); err == nil {
		err = opened.Datasync()
	}
	if closeErr := opened.Close(); err == nil {
		err = closeErr
	}
	return err
}
