package segment

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names of a stream's files: N-<id>.seg is a segment whose header was durable
// before its name; .new one that never got its name; .cut the torn tail that
// recovery took from it; .bad a damaged one that retention took out.
const (
	newSuffix    = ".new"
	cutSuffix    = ".cut"
	badSuffix    = ".bad"
	lockName     = ".lock"
	noteBytesMax = 512
)

var segmentNames = regexp.MustCompile(`^(\d{10})-([0-9a-f]{32})\.seg$`)

func segmentName(ordinal uint64, id ID) string {
	return fmt.Sprintf("%010d-%s.seg", ordinal, hex.EncodeToString(id[:]))
}

// file is a segment by its name, and by its header where that verifies.
//
// end is the length up to which it counts, as the next segment tells:
// everything below is durable, everything beyond superseded; -1 where no sound
// header tells. next is of the frame that would have come next: what lies from
// there to the next segment's first was passed over.
type file struct {
	path    string
	ordinal uint64
	key     key
	header  *Header
	size    int
	end     int
	next    uint64
}

func (f file) name() string { return filepath.Base(f.path) }

// listing is what a stream's folder holds: the stream in its order, from the
// frame keptFrom on; what holds nothing of it; and what never was part of it.
type listing struct {
	files      []file
	keptFrom   uint64
	removable  []string
	unfinished []string
}

// makeFolder makes a folder with those above it, and each new name durable.
// What a crash left half made is made durable by the next call.
func makeFolder(disk Storage, folder string) error {
	missing := []string{folder}
	for parent := filepath.Dir(folder); !disk.IsFolder(parent) && parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		missing = append(missing, parent)
	}
	if lowest := filepath.Dir(missing[len(missing)-1]); !disk.IsFolder(folder) {
		if err := disk.SyncDir(filepath.Dir(lowest)); err != nil {
			return err
		}
	}
	for _, path := range slices.Backward(missing) {
		if err := disk.Mkdir(path); err != nil {
			return err
		}
		if err := disk.SyncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// lockFolder holds a folder that exists; another process is named.
func lockFolder(disk Storage, folder, what string) (io.Closer, error) {
	path := filepath.Join(folder, lockName)
	lock, err := disk.Lock(path, fmt.Sprintf("pid %d", os.Getpid()))
	if err == nil {
		return lock, nil
	}
	if !errors.Is(err, errIsHeld) {
		return nil, DiskError(what+": lock", err)
	}
	holder := "one that cannot be named"
	if held, openErr := disk.Open(path, false); openErr == nil {
		if note, readErr := readUpTo(held, noteBytesMax); readErr == nil {
			holder = strings.ToValidUTF8(string(note), "?")
		}
		_ = held.Close() // only read
		if holder == "" {
			holder = "one that starts now"
		}
	}
	return nil, errorf(Locked, "%s: expected no other process, got %s", what, holder)
}

// readFolder reads names, lengths and headers, no frames. A segment of another
// stream or of a newer format is an error; nothing was changed.
func readFolder(disk Storage, folder, stream string) (listing, error) {
	names, err := disk.Names(folder)
	if err != nil {
		return listing{}, err
	}
	var found []file
	all := listing{keptFrom: 1}
	for _, name := range names {
		if strings.HasSuffix(name, newSuffix) {
			all.unfinished = append(all.unfinished, filepath.Join(folder, name))
		}
		parts := segmentNames.FindStringSubmatch(name)
		if parts == nil {
			continue
		}
		each, err := readFile(disk, folder, parts, stream)
		if err != nil {
			return listing{}, err
		}
		if each.header != nil {
			all.keptFrom = max(all.keptFrom, each.header.KeptFrom)
		}
		found = append(found, each)
	}
	var following *Header
	isBelow := false
	for _, each := range slices.Backward(found) {
		header := each.header
		// A bound is the first number of a segment: what begins before it ends
		// before it. One whose header is damaged does when a later one begins
		// there or before.
		isBefore := isBelow
		if header != nil {
			isBefore = header.FirstSeq < all.keptFrom
			isBelow = isBelow || header.FirstSeq <= all.keptFrom
		}
		if isBefore || isSuperseded(header, following) {
			all.removable = append(all.removable, each.path)
			continue
		}
		all.files = append(all.files, each)
		following = header
	}
	slices.Reverse(all.files)
	slices.Reverse(all.removable)
	followers := map[ID]*Header{}
	for _, each := range all.files {
		if each.header != nil {
			followers[each.header.PreviousID] = each.header
		}
	}
	for i := range all.files {
		if follower := followers[all.files[i].key.id]; follower != nil {
			all.files[i].end = int(min(follower.PreviousEnd, math.MaxInt))
			all.files[i].next = follower.PassedFrom
		}
	}
	return all, nil
}

// isSuperseded tells a segment that was passed over: the writer does that only
// after it saw that it holds no frame and no damage.
func isSuperseded(header, following *Header) bool {
	return header != nil && following != nil &&
		following.FirstSeq == header.FirstSeq && following.PreviousID == header.PreviousID
}

func readFile(disk Storage, folder string, parts []string, stream string) (file, error) {
	ordinal, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return file{}, err
	}
	var id ID
	if _, err := hex.Decode(id[:], []byte(parts[2])); err != nil {
		return file{}, err
	}
	path := filepath.Join(folder, parts[0])
	opened, err := disk.Open(path, false)
	if err != nil {
		return file{}, err
	}
	defer opened.Close() //nolint:errcheck // only read
	size, err := opened.Size()
	if err != nil {
		return file{}, err
	}
	data, err := readUpTo(opened, HeaderBytes)
	if err != nil {
		return file{}, err
	}
	header, err := unpackHeader(data)
	if err != nil {
		return file{}, fmt.Errorf("%s: %w", parts[0], err)
	}
	if header != nil && (header.Ordinal != ordinal || header.ID != id) {
		header = nil
	}
	if header != nil && header.Stream != stream {
		return file{}, errorf(Damaged, "%s: expected stream %s, got stream %s", parts[0], stream, header.Stream)
	}
	size = min(size, math.MaxInt) // reading refuses what is far shorter
	return file{path: path, ordinal: ordinal, key: keyOf(id), header: header, size: int(size), end: -1}, nil
}
