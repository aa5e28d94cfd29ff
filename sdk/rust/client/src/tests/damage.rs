//! Segments that were cut or changed anywhere: what is sound is served, what is lost is reported.

use std::path::Path;
use std::sync::Arc;

use super::memory_disk::MemoryDisk;
use super::{TempFolder, record};
use crate::wal::disk::{Disk, RealDisk};
use crate::wal::{Bounds, Damage, Frame, NewFrame, Scanned, Stream};

const BOUNDS: Bounds =
    Bounds { segment_bytes_max: 1 << 20, frame_bytes_max: 1 << 16, segment_age_max: None };
const FOLDER: &str = "/outbox";
const FRAMES: u64 = 4;

fn frame(number: u64) -> NewFrame {
    NewFrame { received_ns: number, meta: b"{}".to_vec(), payload: record(number) }
}

fn open(disk: Arc<dyn Disk>, folder: &Path) -> Stream {
    Stream::open(disk, folder, "outbox", BOUNDS).expect("a stream")
}

/// Everything a stream holds.
fn scan(stream: &mut Stream) -> (Vec<Frame>, Vec<Damage>) {
    let (mut frames, mut damage) = (Vec::new(), Vec::new());
    let mut see = |item| {
        match item {
            Scanned::Frame(_, frame) => frames.push(frame),
            Scanned::Damage(seen) => damage.push(seen),
        }
        Ok(())
    };
    stream.scan(&mut see).expect("a scan");
    (frames, damage)
}

/// A stream of some frames in memory: one batch each, the last one with a mark behind it or not.
fn written(is_marked: bool) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let mut stream = open(Arc::new(disk.clone()), Path::new(FOLDER));
    for number in 1..=FRAMES {
        stream.append(&[frame(number)]).expect("an append");
    }
    if is_marked {
        stream.mark().expect("a mark");
    }
    // What a process that was killed leaves: neither a footer nor an empty segment behind.
    let left = disk.copied();
    drop(stream);
    left
}

fn assert_true_frames(frames: &[Frame]) {
    for found in frames.iter().filter(|found| found.seq <= FRAMES) {
        let made = frame(found.seq);
        assert_eq!((found.received_ns, &found.payload), (made.received_ns, &made.payload));
    }
    assert!(frames.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

#[test]
fn a_segment_that_was_cut_anywhere_keeps_every_whole_frame() {
    let left = written(false);
    let path = left.segments().pop().expect("a segment");
    let data = left.bytes(&path);
    let ends: Vec<usize> = {
        let sizes = (1..=FRAMES).map(|number| 32 + frame(number).size());
        sizes
            .scan(232, |end, size| {
                *end += size;
                Some(*end)
            })
            .collect()
    };
    assert_eq!(ends.last(), Some(&data.len()));
    for length in 0..=data.len() {
        let disk = left.copied();
        disk.put(&path, &data[..length]);
        let whole = ends.iter().filter(|end| **end <= length).count() as u64;
        let mut stream = open(Arc::new(disk.clone()), Path::new(FOLDER));
        let (frames, damage) = scan(&mut stream);
        assert_true_frames(&frames);
        let seqs: Vec<u64> = frames.iter().map(|frame| frame.seq).collect();
        assert_eq!(seqs, (1..=whole).collect::<Vec<_>>(), "cut at {length}");
        assert!(damage.is_empty(), "cut at {length}: {damage:?}");
        // A header that was cut is told once: nothing is lost with it, and its file goes.
        assert_eq!(stream.recovery.damage.is_empty(), length >= 232, "cut at {length}");
        let next = stream.append(&[frame(9)]).expect("an append")[0].seq;
        assert_eq!(next, whole + 1);
        // What was recovered once is there after a power cut as well.
        drop(stream);
        disk.cut_power();
        let (frames, _) = scan(&mut open(Arc::new(disk.clone()), Path::new(FOLDER)));
        assert_eq!(frames.len() as u64, whole + 1, "cut at {length}");
    }
}

#[test]
fn a_bit_that_flipped_anywhere_costs_one_frame_at_the_most_and_is_reported() {
    for is_marked in [false, true] {
        let left = written(is_marked);
        let path = left.segments().pop().expect("a segment");
        let data = left.bytes(&path);
        let last_batch = data.len() - if is_marked { 32 } else { 32 + frame(FRAMES).size() };
        for bit in 0..8 * data.len() {
            let mut bent = data.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let disk = left.copied();
            disk.put(&path, &bent);
            let opened = Stream::open(Arc::new(disk), Path::new(FOLDER), "outbox", BOUNDS);
            let mut stream = opened.expect("a stream with damage");
            let (frames, damage) = scan(&mut stream);
            assert_true_frames(&frames);
            assert!(frames.len() as u64 >= FRAMES - 1, "bit {bit}");
            let torn = stream.recovery.torn_bytes;
            if bit / 8 < last_batch {
                assert!(!damage.is_empty(), "bit {bit}");
                let lost = FRAMES - frames.len() as u64;
                let told = damage.iter().filter(|each| each.first_seq.is_some()).count() as u64;
                assert_eq!(told, lost, "bit {bit}: {damage:?}");
            } else {
                assert!(torn > 0, "bit {bit}");
            }
        }
    }
}

#[test]
fn a_sealed_segment_that_was_changed_or_cut_anywhere_says_so() {
    let disk = MemoryDisk::default();
    let mut stream = open(Arc::new(disk.clone()), Path::new(FOLDER));
    for number in 1..=FRAMES {
        stream.append(&[frame(number)]).expect("an append");
    }
    stream.close().expect("a close");
    drop(stream);
    let path = disk.segments()[0].clone();
    let data = disk.bytes(&path);
    for at in 0..data.len() {
        let flipped = {
            let mut bent = data.clone();
            bent[at] ^= 0x10;
            bent
        };
        for (bent, is_cut) in [(flipped, false), (data[..at].to_vec(), true)] {
            let copy = disk.copied();
            copy.put(&path, &bent);
            let mut stream = open(Arc::new(copy), Path::new(FOLDER));
            let (frames, damage) = scan(&mut stream);
            assert_true_frames(&frames);
            assert!(!damage.is_empty(), "at {at}, cut: {is_cut}");
            assert!(is_cut || frames.len() as u64 >= FRAMES - 1, "at {at}");
            let next = stream.append(&[frame(9)]).expect("an append")[0].seq;
            assert_eq!(next, FRAMES + 1, "at {at}, cut: {is_cut}");
        }
    }
}

#[test]
fn torn_real_files_are_recovered_and_the_tail_is_kept_as_evidence() {
    let left = written(false);
    let name = left.segments().pop().expect("a segment");
    let data = left.bytes(&name);
    let name = name.file_name().expect("a name").to_owned();
    for cut in [1, 7, 26, 31, 40, 100] {
        let folder = TempFolder::new();
        let path = folder.path().join(&name);
        std::fs::write(&path, &data[..data.len() - cut]).expect("a torn segment");
        let mut stream = open(Arc::new(RealDisk), folder.path());
        let (frames, damage) = scan(&mut stream);
        assert_true_frames(&frames);
        assert_eq!((frames.len() as u64, damage.len()), (FRAMES - 1, 0));
        stream.append(&[frame(9)]).expect("an append");
        stream.close().expect("a close");
        let torn = std::fs::read(path.with_extension("seg.cut")).expect("the evidence");
        assert!(data.windows(torn.len()).any(|window| window == torn));
        let (frames, _) = scan(&mut open(Arc::new(RealDisk), folder.path()));
        assert_eq!(frames.len() as u64, FRAMES);
    }
}

#[test]
fn a_newer_format_and_another_stream_are_refused_and_nothing_is_changed() {
    let left = written(true);
    let path = left.segments().pop().expect("a segment");
    let mut newer = left.bytes(&path);
    newer[8] = 2;
    newer[10..12].copy_from_slice(&[3, 4]);
    let crc = crc32c::crc32c(&newer[..12]).to_le_bytes();
    newer[12..16].copy_from_slice(&crc);
    let disk = left.copied();
    disk.put(&path, &newer);
    let before = disk.segments();
    let refused = Stream::open(Arc::new(disk.clone()), Path::new(FOLDER), "outbox", BOUNDS);
    let error = refused.err().expect("refused");
    assert_eq!(error.kind(), crate::ErrorKind::Newer);
    assert!(error.to_string().contains("release 3.4"), "{error}");
    assert_eq!((disk.segments(), disk.bytes(&path)), (before, newer));
    let other = Stream::open(Arc::new(left), Path::new(FOLDER), "inbox", BOUNDS);
    assert_eq!(other.err().expect("refused").kind(), crate::ErrorKind::Contract);
}
