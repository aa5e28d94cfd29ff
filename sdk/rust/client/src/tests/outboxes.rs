//! Outboxes on real files, and by many threads.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::memory_disk::MemoryDisk;
use super::{SIG, TempFolder, record};
use crate::outbox::locked;
use crate::{ErrorKind, Outbox, OutboxOptions};

const THREADS: u64 = 8;
const EACH: u64 = 40;

fn open(folder: &TempFolder) -> Outbox {
    Outbox::open(folder.path(), OutboxOptions::default()).expect("an outbox")
}

#[test]
fn what_threads_append_together_is_there_once_under_numbers_of_its_own() {
    let folder = TempFolder::new();
    let outbox = open(&folder);
    let kept: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let outbox = &outbox;
                scope.spawn(move || {
                    let epochs = thread * EACH..(thread + 1) * EACH;
                    epochs
                        .map(|epoch| {
                            (outbox.append("api:", &[record(epoch)]).expect("kept")[0], epoch)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
    });
    let seqs: BTreeSet<u64> = kept.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs.len() as u64, THREADS * EACH);
    for (seq, epoch) in &kept {
        assert_eq!(outbox.read(*seq).expect("a read").expect("a window").body, record(*epoch));
    }
    outbox.close().expect("a close");
    assert_eq!(open(&folder).len() as u64, THREADS * EACH);
}

#[test]
fn many_that_wait_share_one_sync() {
    let disk = MemoryDisk::default();
    let outbox = Outbox::open_on(Arc::new(disk), Path::new("/data"), OutboxOptions::default());
    let outbox = outbox.expect("an outbox");
    let syncs_before = locked(&outbox.shared.log).syncs;
    std::thread::scope(|scope| {
        // While the log is held, nobody gets through; all but the first then form one batch.
        let held = locked(&outbox.shared.log);
        let threads: Vec<_> = (0..THREADS)
            .map(|epoch| {
                scope.spawn({
                    let outbox = &outbox;
                    move || outbox.append("api:", &[record(epoch)])
                })
            })
            .collect();
        while outbox.shared.commits.taken() < THREADS {
            std::thread::yield_now();
        }
        drop(held);
        for thread in threads {
            thread.join().expect("a thread").expect("kept");
        }
    });
    let syncs = locked(&outbox.shared.log).syncs - syncs_before;
    assert!(syncs <= 2, "{THREADS} appends took {syncs} syncs");
}

#[test]
fn a_second_opening_is_refused_by_the_name_of_who_holds_it() {
    let folder = TempFolder::new();
    let outbox = open(&folder);
    let refused = Outbox::open(folder.path(), OutboxOptions::default()).expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
    outbox.close().expect("a close");
    assert_eq!(open(&folder).len(), 0);
}

#[test]
fn an_answered_window_waits_no_longer_and_an_unanswered_one_does() {
    let folder = TempFolder::new();
    let outbox = open(&folder);
    let seqs = outbox.append("api:", &[record(0), record(1), record(2)]).expect("kept");
    outbox.acknowledge(seqs[1], 202, true).expect("noted");
    outbox.acknowledge(seqs[1], 200, false).expect("noted once");
    assert_eq!(
        outbox.acknowledge(seqs[0], 503, false).expect_err("open").kind(),
        ErrorKind::Contract
    );
    assert_eq!(outbox.pending_seqs(0, 9), [seqs[0], seqs[2]]);
    outbox.close().expect("a close");
    let again = open(&folder);
    assert_eq!(again.pending_seqs(0, 9), [seqs[0], seqs[2]]);
    assert_eq!(again.pending(seqs[2], 9).expect("read")[0].body, record(2));
    assert!(again.damage().is_empty());
    assert_eq!(again.append("api:", &[record(3)]).expect("kept").len(), 1);
    again.close().expect("a close");
    assert_eq!(again.append("api:", &[record(4)]).expect_err("closed").kind(), ErrorKind::Fenced);
}

#[test]
fn what_is_no_record_or_finds_no_room_is_refused_and_takes_nothing() {
    let folder = TempFolder::new();
    let options = OutboxOptions { records_max: 2, ..OutboxOptions::default() };
    let outbox = Outbox::open(folder.path(), options).expect("an outbox");
    let huge = vec![b' '; 70_000];
    for bad in [b"".as_slice(), b"{}", b"[1]", b"\xff", b"{\"epoch\":1}", &huge] {
        let refused = outbox.append("api:", &[bad]).expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Contract);
    }
    let secret = br#"{"hunter2":1}"#;
    let refused = outbox.append("api:", &[secret]).expect_err("refused");
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    outbox.append("api:", &[record(0), record(1)]).expect("room for two");
    assert_eq!(outbox.append("api:", &[record(2)]).expect_err("full").kind(), ErrorKind::Full);
    let first = outbox.pending_seqs(0, 1)[0];
    outbox.acknowledge(first, 200, false).expect("noted");
    outbox.append("api:", &[record(2)]).expect("room again");
    assert_eq!(outbox.len(), 2);
}

#[test]
fn answered_segments_are_given_up_and_what_waits_in_them_is_carried() {
    let folder = TempFolder::new();
    let options = OutboxOptions { segment_bytes_max: 4 << 20, ..OutboxOptions::default() };
    let outbox = Outbox::open(folder.path(), options).expect("an outbox");
    let large = |epoch: u64| {
        let pad = "x".repeat(60_000);
        let id = format!("{epoch:064x}");
        format!(r#"{{"epoch":{epoch},"pad":"{pad}","pcs_id":"{id}","shard_id":"s","sig":"{SIG}"}}"#)
    };
    let mut kept = Vec::new();
    for first in (0..256).step_by(16) {
        let bodies: Vec<String> = (first..first + 16).map(large).collect();
        kept.extend(outbox.append("api:", &bodies).expect("kept"));
    }
    for seq in &kept[1..] {
        outbox.acknowledge(*seq, 200, false).expect("noted");
    }
    let mut log = locked(&outbox.shared.log);
    while log.is_compaction_due() {
        log.compact().expect("a compaction");
    }
    let counts = log.contents.counts;
    drop(log);
    outbox.close().expect("a close");
    let names = std::fs::read_dir(folder.path().join("outbox")).expect("a folder");
    let sizes = names.map(|entry| entry.expect("a name").metadata().expect("a size").len());
    assert!(sizes.sum::<u64>() < 9 << 20, "16 MiB were answered");
    let again = Outbox::open(folder.path(), options).expect("an outbox");
    assert_eq!(again.pending_seqs(0, 9), [kept[0]]);
    assert_eq!(again.pending(0, 9).expect("read")[0].body, large(0).as_bytes());
    assert!(again.damage().is_empty(), "{:?}", again.damage());
    let now = locked(&again.shared.log).contents.counts;
    assert_eq!((now, now.windows, now.accepted), (counts, 256, 255));
    assert!(counts.compactions > 0);
}
