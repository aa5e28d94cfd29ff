//! Dead letters on a disk in memory: what is torn is moved aside, what was durable stays, and a number
//! that stands in one is never given again.

use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::memory_disk::{Done, Fault, MemoryDisk};
use super::{letter, record};
use crate::outbox::log::Log;
use crate::outbox::{Meta, OutboxOptions};
use crate::wal::disk::Disk;
use crate::{ErrorKind, Result};

const DATA: &str = "/data";

fn path() -> PathBuf {
    Path::new(DATA).join("dead-letters.ndjson")
}

fn open(disk: &MemoryDisk) -> Result<Log> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(disk, Path::new(DATA), &OutboxOptions::default())
}

fn cut(disk: &MemoryDisk) -> Vec<u8> {
    let name = "dead-letters.ndjson.cut";
    let is_there = disk.names(Path::new(DATA)).expect("names").iter().any(|each| each == name);
    if is_there { disk.bytes(&Path::new(DATA).join(name)) } else { Vec::new() }
}

/// A disk with one window that waits, numbered 1.
fn waiting() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("an outbox");
    let meta = Meta::Window {
        source: "api:".to_owned(),
        shard_id: "plant-7".to_owned(),
        next_epoch: 2,
        position: None,
    };
    let frame = meta.frame(0, &record(1));
    assert_eq!(log.write_windows(vec![(meta, frame)]).expect("kept"), [1]);
    log.close().expect("a close");
    disk
}

#[test]
fn letters_are_appended_and_counted_again_by_the_next_opening() {
    let disk = waiting();
    let mut log = open(&disk).expect("an outbox");
    log.letters.append(&[letter(1), letter(2)]).expect("kept");
    log.letters.append(&[letter(1)]).expect("kept");
    assert_eq!(disk.bytes(&path()), [letter(1), letter(2), letter(1)].concat());
    drop(log);
    disk.cut_power();
    let log = open(&disk).expect("an outbox");
    assert_eq!((log.letters.count, log.letters.last_seq), (3, 2));
    assert!(log.contents.damage.is_empty());
}

#[test]
fn a_torn_letter_of_a_window_that_waits_is_moved_aside_wherever_it_was_torn() {
    let whole = letter(1);
    for length in 1..whole.len() - 2 {
        let disk = waiting();
        let torn = &whole[..length];
        disk.put(&path(), &[&letter(3), torn].concat());
        let log = open(&disk).expect("an outbox");
        assert_eq!(disk.bytes(&path()), letter(3), "{length}");
        assert_eq!(cut(&disk), torn, "{length}");
        assert!(log.contents.damage.is_empty());
        assert_eq!(log.letters.count, 1);
    }
    // Its line end, or what stands in its place, is no part of a letter.
    for end in ["", "\0"] {
        let disk = waiting();
        let lost = [&whole[..whole.len() - 1], end.as_bytes()].concat();
        disk.put(&path(), &lost);
        open(&disk).expect("an outbox");
        assert_eq!((disk.bytes(&path()), cut(&disk).len()), (whole.clone(), 0));
    }
}

#[test]
fn a_damaged_line_that_was_durable_once_stays_and_is_told() {
    let mut bent = letter(9);
    bent[40] = 0;
    let sound = letter(3);
    let last = [sound.clone(), bent.clone()].concat();
    let between = [bent, sound].concat();
    for data in [last, between] {
        let disk = waiting();
        disk.put(&path(), &data);
        let log = open(&disk).expect("an outbox");
        assert_eq!((disk.bytes(&path()), cut(&disk).len()), (data, 0));
        assert_eq!((log.letters.count, log.contents.damage.len()), (2, 1));
        assert!(!log.contents.damage[0].contains("plant-7"), "{:?}", log.contents.damage);
    }
    // Longer than anything that is held of a line: neither kept in memory nor lost.
    let disk = waiting();
    let huge = [b"{\"outbox_seq\":9,".to_vec(), vec![b'x'; 3 << 20], b"\n".to_vec(), letter(4)];
    disk.put(&path(), &huge.concat());
    let log = open(&disk).expect("an outbox");
    assert_eq!(disk.bytes(&path()), huge.concat());
    assert_eq!((log.letters.count, log.letters.last_seq), (2, 4));
}

#[test]
fn a_number_that_stands_in_a_letter_is_not_given_again_where_the_outbox_is_gone() {
    let disk = MemoryDisk::default();
    disk.put(&path(), &letter(70));
    let mut log = open(&disk).expect("an outbox");
    assert!(log.contents.next_seq() > 70);
    assert_eq!(log.contents.counts.lost, 0);
    log.close().expect("a close");
    // What no outbox can have given is told and not believed.
    let disk = MemoryDisk::default();
    disk.put(&path(), &letter(1 << 50));
    let log = open(&disk).expect("an outbox");
    assert_eq!(log.contents.next_seq(), 1);
    assert_eq!(log.contents.damage.len(), 1);
}

#[test]
fn a_later_programs_letter_is_refused_and_nothing_is_changed() {
    let disk = waiting();
    let newer = String::from_utf8(letter(3)).expect("UTF-8").replace("\"v\":1", "\"v\":2");
    let data = [newer.as_bytes(), b"{\"outbox_seq\":1,"].concat();
    disk.put(&path(), &data);
    assert_eq!(open(&disk).err().map(|error| error.kind()), Some(ErrorKind::Newer));
    assert_eq!(disk.bytes(&path()), data);
}

#[test]
fn a_full_disk_takes_a_letter_back_and_a_failure_ends_the_writing() {
    let disk = waiting();
    let mut log = open(&disk).expect("an outbox");
    log.letters.append(&[letter(1)]).expect("kept");
    for (call, kind, done, expected) in [
        (1, Io::StorageFull, Done::Half, ErrorKind::Full),
        (2, Io::StorageFull, Done::Nothing, ErrorKind::Disk),
    ] {
        disk.fail(Some(Fault { call, kind, done }));
        let error = log.letters.append(&[letter(2)]).expect_err("no room");
        disk.fail(None);
        assert_eq!(error.kind(), expected);
        if expected == ErrorKind::Full {
            assert_eq!(disk.bytes(&path()), letter(1));
        }
    }
    let fenced = log.letters.append(&[letter(2)]).expect_err("in doubt");
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
}
