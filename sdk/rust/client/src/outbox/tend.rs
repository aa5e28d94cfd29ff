//! What an outbox does by itself: mark what is durable, write acknowledgements, give segments up.

use std::time::Duration;

use super::{Shared, locked};

/// A mark is written when nothing followed a sync for so long.
const QUIET: Duration = Duration::from_millis(100);

/// Tend an outbox until it is closed or fenced; whoever meets the failure next is told by the log.
pub(crate) fn tend(shared: &Shared, segment_age_max: Option<Duration>) {
    let mut is_at_rest = true;
    loop {
        if is_at_rest {
            match shared.commits.wait_for_news(segment_age_max) {
                None => return,
                Some(true) => {}
                Some(false) => {
                    if locked(&shared.log).rotate_aged().is_err() {
                        return;
                    }
                    continue;
                }
            }
        }
        let syncs = locked(&shared.log).syncs;
        if !shared.commits.pause(QUIET) {
            return;
        }
        let mut log = locked(&shared.log);
        if log.is_fenced() {
            return;
        }
        is_at_rest = false;
        let done = if log.is_compaction_due() {
            let before = log.contents.pending_bytes;
            let done = log.compact();
            // A copy's frame is not as long as the window's own.
            shared.commits.resize(before, log.contents.pending_bytes);
            done
        } else if log.syncs != syncs {
            Ok(())
        } else if log.has_acks() {
            log.flush_acks()
        } else {
            is_at_rest = true;
            log.mark()
        };
        // A full disk may have room later; anything else fenced the stream.
        if done.is_err() && log.is_fenced() {
            return;
        }
    }
}
