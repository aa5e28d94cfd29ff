//! Frames of the outbox: what stands in its stream (`specs/agent.md` section 2).
//!
//! A frame's meta block is JSON with the format's version, its payload a record or nothing. The rule:
//! the next epoch of a stream and the next position of a source are in the frame of the window they
//! follow from. Either all three are on disk or none is.

use serde_json::{Map, Value, json};

use crate::wal::{Frame, NewFrame};
use crate::{Error, Result};

const FORMAT: u64 = 1;

/// The meta block of a frame. A position is another program's matter and is passed on as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meta {
    /// A window; its payload is the signed record.
    Window { source: String, shard_id: String, next_epoch: u64, position: Option<Value> },
    /// The record of a dead letter, to be sent once more.
    Again { letter: u64, shard_id: String, next_epoch: u64 },
    /// A copy of the window that has this number.
    Carried { seq: u64, shard_id: String, next_epoch: u64 },
    /// The end of the window that has this number.
    Ack { seq: u64, status: u64, replayed: bool },
    /// What the last window of a stream said, and how many frames were lost since.
    Stream {
        source: String,
        shard_id: String,
        next_epoch: u64,
        position: Option<Value>,
        lost_since: u64,
    },
    /// No frame before `kept_from` is needed, and these are the counts up to here.
    Totals { kept_from: u64, counts: Counts },
    /// No frame behind has a number up to this, and none is missing.
    Skipped { to: u64 },
}

/// What an outbox counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub windows: u64,
    pub accepted: u64,
    pub escalated: u64,
    pub dead: u64,
    pub repeats: u64,
    pub lost: u64,
    pub compactions: u64,
}

impl Meta {
    fn to_json(&self) -> Value {
        match self {
            Self::Window { source, shard_id, next_epoch, position } => json!({
                "kind": "window", "source": source, "shard_id": shard_id,
                "next_epoch": next_epoch, "position": position, "v": FORMAT,
            }),
            Self::Again { letter, shard_id, next_epoch } => json!({
                "kind": "again", "letter": letter, "shard_id": shard_id,
                "next_epoch": next_epoch, "v": FORMAT,
            }),
            Self::Carried { seq, shard_id, next_epoch } => json!({
                "kind": "carried", "seq": seq, "shard_id": shard_id,
                "next_epoch": next_epoch, "v": FORMAT,
            }),
            Self::Ack { seq, status, replayed } => json!({
                "kind": "ack", "seq": seq, "status": status, "replayed": replayed, "v": FORMAT,
            }),
            Self::Stream { source, shard_id, next_epoch, position, lost_since } => json!({
                "kind": "stream", "source": source, "shard_id": shard_id,
                "next_epoch": next_epoch, "position": position, "lost_since": lost_since,
                "v": FORMAT,
            }),
            Self::Totals { kept_from, counts } => json!({
                "kind": "totals", "kept_from": kept_from, "windows": counts.windows,
                "accepted": counts.accepted, "escalated": counts.escalated, "dead": counts.dead,
                "repeats": counts.repeats, "lost": counts.lost,
                "compactions": counts.compactions, "v": FORMAT,
            }),
            Self::Skipped { to } => json!({"kind": "skipped", "to": to, "v": FORMAT}),
        }
    }

    /// Its frame, with the record or nothing.
    pub(crate) fn frame(&self, received_ns: u64, payload: &[u8]) -> NewFrame {
        NewFrame {
            received_ns,
            meta: self.to_json().to_string().into_bytes(),
            payload: payload.to_vec(),
        }
    }
}

/// A frame's meta block.
///
/// # Errors
///
/// `Newer`: a later program wrote it. `Damaged`: it is no frame of an outbox.
pub(crate) fn read_meta(frame: &Frame) -> Result<Meta> {
    let seq = frame.seq;
    let damaged = || Error::Damaged {
        message: format!("outbox frame {seq}: expected a frame of an outbox, got something else"),
    };
    let members: Map<String, Value> = serde_json::from_slice(&frame.meta).map_err(|_| damaged())?;
    match members.get("v").and_then(Value::as_i64) {
        None => return Err(damaged()),
        Some(version) if version > FORMAT.cast_signed() => {
            return Err(Error::Newer {
                message: format!("outbox frame {seq}: expected format {FORMAT}, got {version}"),
            });
        }
        Some(_) => {}
    }
    parse(&members).ok_or_else(damaged)
}

fn parse(members: &Map<String, Value>) -> Option<Meta> {
    let text = |name: &str| Some(members.get(name)?.as_str()?.to_owned());
    let number = |name: &str| members.get(name)?.as_u64();
    let position = || match members.get("position")? {
        Value::Null => Some(None),
        position @ Value::Object(_) => Some(Some(position.clone())),
        _ => None,
    };
    Some(match members.get("kind")?.as_str()? {
        "window" => Meta::Window {
            source: text("source")?,
            shard_id: text("shard_id")?,
            next_epoch: number("next_epoch")?,
            position: position()?,
        },
        "again" => Meta::Again {
            letter: number("letter")?,
            shard_id: text("shard_id")?,
            next_epoch: number("next_epoch")?,
        },
        "carried" => Meta::Carried {
            seq: number("seq")?,
            shard_id: text("shard_id")?,
            next_epoch: number("next_epoch")?,
        },
        "ack" => Meta::Ack {
            seq: number("seq")?,
            status: number("status")?,
            replayed: members.get("replayed")?.as_bool()?,
        },
        "stream" => Meta::Stream {
            source: text("source")?,
            shard_id: text("shard_id")?,
            next_epoch: number("next_epoch")?,
            position: position()?,
            lost_since: number("lost_since")?,
        },
        "totals" => Meta::Totals {
            kept_from: number("kept_from")?,
            counts: Counts {
                windows: number("windows")?,
                accepted: number("accepted")?,
                escalated: number("escalated")?,
                dead: number("dead")?,
                repeats: number("repeats")?,
                lost: number("lost")?,
                compactions: number("compactions")?,
            },
        },
        "skipped" => Meta::Skipped { to: number("to")? },
        _ => return None,
    })
}
