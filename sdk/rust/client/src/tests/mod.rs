//! What the tests share: records, folders, and a disk in memory that fails when it is told to.

mod damage;
mod deadletters;
mod faults;
mod memory_disk;
mod outboxes;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// As long as one of HMAC.
pub(crate) const SIG: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A record as the outbox looks at it.
pub(crate) fn record(epoch: u64) -> Vec<u8> {
    let id = format!("{epoch:064x}");
    format!(r#"{{"epoch":{epoch},"pcs_id":"{id}","shard_id":"plant-7","sig":"{SIG}"}}"#)
        .into_bytes()
}

/// The dead letter of a window.
pub(crate) fn letter(seq: u64) -> Vec<u8> {
    let window = crate::Window { seq, received_ns: 0, body: record(seq) };
    let named = crate::outbox::read_record(&window.body).expect("a record");
    let answer = crate::Answer {
        status: 409,
        body: b"{}".to_vec(),
        replayed: false,
        received_at: None,
        retry_after: None,
        code: Some("pcs_id_conflict".to_owned()),
        attempts: 1,
    };
    crate::outbox::letters::letter_line(&window, &named, &answer, 0)
}

/// A folder of its own, gone with the test.
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("fractal-lba-client-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // What is left is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
