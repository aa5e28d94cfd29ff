//! The ops of the outbox: one is opened, appended to, shipped and closed.

use fractal_lba_client::{Error, ErrorKind, Outbox, OutboxOptions};
use fractal_lba_core::{encode_base64, Object, Value};

use crate::client::{bodies, failed, integer, kind, Opened};
use crate::fields::{count, flag, nullable, object, text};
use crate::ops::Ops;

/// Of one append: with what frames them they fit into a call of the outbox's.
const CALL_RECORDS_MAX: usize = 1_000;
const CALL_BYTES_MAX: usize = 512 << 10;

/// The ops `outbox.*`.
pub struct OutboxOps {
    /// The client to ship over.
    pub opened: Opened,
    /// The outbox that is open.
    pub outbox: Option<Outbox>,
}

impl Ops for OutboxOps {
    fn names(&self) -> &[&'static str] {
        &[
            "outbox.open",
            "outbox.append",
            "outbox.pending",
            "outbox.acknowledge",
            "outbox.damage",
            "outbox.ship",
            "outbox.close",
        ]
    }

    fn answer(&mut self, op: &str, request: &Object) -> Object<'static> {
        if op == "outbox.open" {
            return self.open(request);
        }
        let outbox = self.outbox.as_ref().expect("outbox.open comes first");
        match op {
            "outbox.append" => append(outbox, request),
            "outbox.pending" => pending(outbox),
            "outbox.acknowledge" => acknowledge(outbox, request),
            "outbox.damage" => damage(outbox),
            "outbox.ship" => ship(outbox, &self.opened),
            "outbox.close" => {
                let closed = outbox.close();
                self.outbox = None;
                closed.map_or_else(|error| refused(&error), |()| object([("ok", true.into())]))
            }
            _ => unreachable!("{op} is not among the names"),
        }
    }
}

impl OutboxOps {
    fn open(&mut self, request: &Object) -> Object<'static> {
        // One that is still open would refuse itself.
        self.outbox = None;
        let mut options = OutboxOptions::default();
        if request.get("segment_bytes_max").is_some() {
            options.segment_bytes_max = count(request, "segment_bytes_max");
        }
        match Outbox::open(text(request, "folder"), options) {
            Ok(outbox) => {
                let pending = integer(outbox.len() as u64);
                self.outbox = Some(outbox);
                object([("pending", pending)])
            }
            // Opening says of a full disk what it says of any other.
            Err(error) => {
                let is_full = error.kind() == ErrorKind::Full;
                let told = if is_full { ErrorKind::Disk.as_str() } else { kind(&error) };
                object([("error", object([("kind", told.into())]).into())])
            }
        }
    }
}

/// Returns an error's kind, the outbox's own: what is full is told from what is in doubt.
fn refused(error: &Error) -> Object<'static> {
    let told = object([("kind", error.kind().as_str().into()), ("code", Value::Null)]);
    object([("error", told.into())])
}

fn append(outbox: &Outbox, request: &Object) -> Object<'static> {
    let mut seqs: Vec<Value> = Vec::new();
    let bodies = bodies(request);
    let mut rest = bodies.as_slice();
    while !rest.is_empty() {
        let (call, others) = rest.split_at(fitting(rest));
        rest = others;
        match outbox.append(text(request, "source"), call) {
            Ok(placed) => seqs.extend(placed.into_iter().map(integer)),
            Err(error) => return refused(&error),
        }
    }
    object([("seqs", seqs.into())])
}

/// How many of these go into a call, at least one.
fn fitting(bodies: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let some = bodies.iter().take(CALL_RECORDS_MAX).take_while(|body| {
        bytes += body.len();
        bytes <= CALL_BYTES_MAX
    });
    some.count().max(1)
}

fn pending(outbox: &Outbox) -> Object<'static> {
    let windows = match outbox.pending(0, usize::MAX) {
        Ok(windows) => windows,
        Err(error) => return refused(&error),
    };
    let windows: Vec<Value> = windows
        .iter()
        .map(|window| {
            let body = encode_base64(&window.body);
            object([("seq", integer(window.seq)), ("body", body.into())]).into()
        })
        .collect();
    object([("windows", windows.into())])
}

fn damage(outbox: &Outbox) -> Object<'static> {
    let told: Vec<Value> = outbox.damage().iter().map(|each| each.as_str().into()).collect();
    object([("damage", told.into()), ("lost", integer(outbox.lost()))])
}

fn acknowledge(outbox: &Outbox, request: &Object) -> Object<'static> {
    let status = u16::try_from(count(request, "status")).expect("a status");
    match outbox.acknowledge(count(request, "seq"), status, flag(request, "replayed")) {
        Ok(()) => object([("ok", true.into())]),
        Err(error) => refused(&error),
    }
}

fn ship(outbox: &Outbox, opened: &Opened) -> Object<'static> {
    let (client, deadline) = opened.client();
    let mut answers: Vec<Value> = Vec::new();
    let shipped = outbox.ship(&client, deadline, |shipped| {
        let answer = &shipped.answer;
        let told = object([
            ("seq", integer(shipped.window.seq)),
            ("status", integer(answer.status.into())),
            ("replayed", answer.replayed.into()),
            ("code", nullable(answer.code.as_deref())),
        ]);
        answers.push(told.into());
        Ok(())
    });
    match shipped {
        // What has no answer when the time is over still waits.
        Err(error) if error.kind() != ErrorKind::Deadline => failed(&error),
        _ => object([("answers", answers.into())]),
    }
}
