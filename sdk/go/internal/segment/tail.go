package segment

// tail is a last segment, taken apart at its durable end: the highest
// durable_offset of any sound batch header in it, or the offset of its footer.
//
// Below, everything was durable once: what does not verify there is corruption
// and never cut. Above, a write may have been under way: the frames that
// follow without a gap survive, what comes after them is the torn tail.
type tail struct {
	durableEnd int
	tornAt     int    // the segment's length where nothing is torn
	kept       []item // frames and gaps before tornAt
	survivors  []item // the frames of kept above the durable end
	nextSeq    uint64 // behind the last frame that counts; unknown where the segment cannot tell
}

// examine takes all of a last segment apart; firstSeq is unknown where nothing
// tells it.
func examine(data []byte, k key, firstSeq uint64) tail {
	items := walk(data, k, len(data), firstSeq, unknown)
	t := tail{durableEnd: HeaderBytes, nextSeq: firstSeq}
	deciding := 0
	for i, each := range items {
		switch {
		case each.kind == isFooter:
			t.durableEnd, deciding, t.nextSeq = each.offset, i, each.next
		case each.kind == isBatch && each.durable >= t.durableEnd:
			t.durableEnd, deciding, t.nextSeq = each.durable, i, each.first
		}
	}
	t.tornAt = min(t.durableEnd, len(data))
	for i, each := range items {
		// A gap of length 0 right at the division stands before the batch that
		// tells of it.
		isDurable := each.offset < t.durableEnd || (i < deciding && each.end <= t.durableEnd)
		switch {
		case each.kind == isGap && !isDurable:
			return t
		case each.kind == isGap:
			t.kept = append(t.kept, each)
		case each.kind == isFrame:
			t.kept = append(t.kept, each)
			if !isDurable {
				t.survivors = append(t.survivors, each)
				t.tornAt, t.nextSeq = each.end, each.next
			}
		case each.kind == isFooter || each.frames == 0:
			t.tornAt = max(t.tornAt, each.end)
		}
	}
	return t
}
