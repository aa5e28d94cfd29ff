//! Calls that fail, anywhere: what was acknowledged is there, nothing is given twice.

use std::collections::BTreeSet;
use std::io::ErrorKind as Io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::memory_disk::{Done, Fault, MemoryDisk};
use super::{letter, record};
use crate::outbox::log::Log;
use crate::outbox::{Meta, OutboxOptions};
use crate::wal::disk::Disk;
use crate::{Error, ErrorKind, Result};

const DATA: &str = "/data";

fn open(disk: &MemoryDisk) -> Result<Log> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(disk, Path::new(DATA), &OutboxOptions::default())
}

/// As [`open`], with a segment for each append: by this disk's clock each is old at once.
fn open_aging(disk: &MemoryDisk) -> Result<Log> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let segment_age_max = Some(Duration::from_secs(60));
    let options = OutboxOptions { segment_age_max, ..OutboxOptions::default() };
    Log::open(disk, Path::new(DATA), &options)
}

fn window(epoch: u64) -> (Meta, crate::wal::NewFrame) {
    let meta = Meta::Window {
        source: "api:".to_owned(),
        shard_id: "plant-7".to_owned(),
        next_epoch: epoch + 1,
        position: None,
    };
    let frame = meta.frame(epoch, &record(epoch));
    (meta, frame)
}

/// What a run was told: windows that are on disk, and those that were given an answer.
#[derive(Default)]
struct Told {
    kept: Vec<(u64, u64)>,
    answered: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

/// Windows, answers, a compaction and a close; ends at the first error.
fn run(disk: &MemoryDisk, first_epoch: u64, told: &mut Told) -> Result<()> {
    let mut log = open_aging(disk)?;
    for epoch in first_epoch..first_epoch + 4 {
        let seqs = log.write_windows(vec![window(epoch)])?;
        told.kept.push((seqs[0], epoch));
        log.mark()?;
    }
    for (at, status) in [(0, 200), (2, 409)] {
        let seq = told.kept[told.kept.len() - 4 + at].0;
        if status == 409 {
            told.refused.insert(seq);
            log.letters.append(&[letter(seq)])?;
        }
        told.answered.insert(seq);
        log.acknowledge(seq, status, false)?;
    }
    log.flush_acks()?;
    log.compact()?;
    log.close()
}

fn check(disk: &MemoryDisk, told: &Told, what: &str) {
    let mut log = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(log.contents.damage.is_empty(), "{what}: {:?}", log.contents.damage);
    assert_eq!(log.contents.counts.lost, 0, "{what}");
    for (seq, epoch) in &told.kept {
        match log.read(*seq).unwrap_or_else(|error| panic!("{what}: {error}")) {
            Some(frame) => assert_eq!(frame.payload, record(*epoch), "{what}"),
            None => {
                assert!(told.answered.contains(seq), "{what}: window {seq} is gone");
                let has_letter = !told.refused.contains(seq) || log.letters.last_seq == *seq;
                assert!(has_letter, "{what}: the letter of window {seq} is gone");
            }
        }
    }
    let (seq, _) = *told.kept.last().unwrap_or(&(0, 0));
    let given = log.write_windows(vec![window(99)]).expect("a window behind");
    assert!(given[0] > seq, "{what}: number {} again", given[0]);
}

#[test]
fn a_fault_or_power_cut_at_any_call_loses_nothing_that_was_acknowledged() {
    let sound = MemoryDisk::default();
    run(&sound, 0, &mut Told::default()).expect("a run");
    let calls = sound.calls();
    assert!(calls > 60, "{calls} calls");
    for call in 1..=calls {
        for done in [Done::Nothing, Done::Half, Done::All] {
            for kind in [Io::Other, Io::StorageFull] {
                for is_cut in [false, true] {
                    let what = format!("call {call}, {kind}, {done:?} of it, power cut: {is_cut}");
                    let (disk, mut told) = (MemoryDisk::default(), Told::default());
                    disk.fail(Some(Fault { call, kind, done }));
                    let ended = run(&disk, 0, &mut told);
                    disk.fail(None);
                    if is_cut {
                        disk.cut_power();
                    }
                    assert!(ended.is_err() || kind == Io::StorageFull, "{what}");
                    check(&disk, &told, &what);
                }
            }
        }
    }
    println!("outbox: {calls} calls failed, each in 12 ways");
}

#[test]
fn a_failed_sync_fences_and_opening_again_goes_on() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("an outbox");
    let kept = log.write_windows(vec![window(0)]).expect("a window");
    // The write is the first call of an append, its sync the second.
    disk.fail(Some(Fault { call: 2, kind: Io::Other, done: Done::Nothing }));
    let failed = log.write_windows(vec![window(1)]).expect_err("a failed sync");
    assert_eq!(failed.kind(), ErrorKind::Disk);
    disk.fail(None);
    // A second sync would prove nothing: nothing is written any more, what is there is read.
    let fenced = log.write_windows(vec![window(1)]).expect_err("fenced");
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
    assert_eq!(log.read(kept[0]).expect("a read").expect("a window").payload, record(0));
    assert_eq!(disk.calls(), 0);
    drop(log);
    let mut again = open(&disk).expect("an outbox");
    assert_eq!(again.read(kept[0]).expect("a read").expect("a window").payload, record(0));
    assert!(again.write_windows(vec![window(2)]).is_ok());
}

#[test]
fn a_full_disk_refuses_takes_back_and_goes_on() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("an outbox");
    log.write_windows(vec![window(0)]).expect("a window");
    log.acknowledge(1, 200, false).expect("noted");
    disk.fail(Some(Fault { call: 1, kind: Io::StorageFull, done: Done::Half }));
    let full = log.write_windows(vec![window(1)]).expect_err("no room");
    assert!(matches!(full, Error::Full { .. }), "{full}");
    disk.fail(None);
    // The acknowledgement that rode with it waits for the next one.
    assert!(log.has_acks());
    let seqs = log.write_windows(vec![window(2)]).expect("room again");
    log.close().expect("a close");
    drop(log);
    let again = open(&disk).expect("an outbox");
    assert!(again.contents.damage.is_empty());
    assert_eq!(again.contents.pending.keys().copied().collect::<Vec<_>>(), seqs);
    assert_eq!(again.contents.counts.accepted, 1);
}

#[test]
fn acknowledgements_that_are_not_kept_are_told() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("an outbox");
    log.write_windows(vec![window(0), window(1)]).expect("windows");
    log.acknowledge(1, 200, false).expect("noted");
    disk.fail(Some(Fault { call: 2, kind: Io::Other, done: Done::Nothing }));
    log.write_windows(vec![window(2)]).expect_err("a failed sync");
    disk.fail(None);
    // The window is over for this process, and waits for the next one: neither call says less.
    let noted = log.acknowledge(2, 200, false).expect_err("not on disk");
    assert_eq!(noted.kind(), ErrorKind::Fenced);
    let closed = log.close().expect_err("not on disk");
    assert_eq!(closed.kind(), ErrorKind::Fenced);
    assert!(closed.to_string().contains("2 acknowledgements"), "{closed}");
}

#[test]
fn many_acknowledgements_wait_for_room_without_an_error() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("an outbox");
    let count: u32 = 300;
    log.write_windows((0..count.into()).map(window).collect()).expect("windows");
    let sizes: Vec<u64> = (1..=u64::from(count))
        .map(|seq| {
            disk.fail(Some(Fault { call: 1, kind: Io::StorageFull, done: Done::Nothing }));
            log.acknowledge(seq, 200, false).expect("noted").expect("it waited")
        })
        .collect();
    disk.fail(None);
    assert!(sizes.iter().all(|size| *size > 0));
    assert!(log.has_acks());
    log.close().expect("a close");
    assert_eq!(open(&disk).expect("an outbox").contents.counts.accepted, u64::from(count));
}
