//! Send what waits, until each window has a final answer or the time ends.
//!
//! A window leaves the outbox only by an answer that cannot change any more and that speaks of its
//! record; everything else leads to another attempt. What was not accepted is a dead letter, on disk
//! before its window waits no more. What a batch is told as a whole ends no window:
//! its halves, and in the end each record alone, get an answer of their own.

use std::time::Duration;

use super::letters::letter_line;
use super::record::read_record;
use super::{Outbox, Window, locked};
use crate::http::{Answer, Client, Deadline, Open, chance};
use crate::wal::disk::now_ns;
use crate::{Error, Result};

/// Of one request, as the agent sends them: an answer to so much comes within a second.
const REQUEST_RECORDS_MAX: usize = 256;
const REQUEST_BYTES_MAX: usize = 512 << 10;

/// A window that got its final answer.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// What was sent, and its number.
    pub window: Window,
    /// What the server said; [`Answer::is_accepted`] tells whether it took the record.
    pub answer: Answer,
}

impl Outbox {
    /// Send what waits now, oldest first in batches, until each window has a final answer or the
    /// deadline ends; return how many had one. What has none still waits.
    ///
    /// A record that was not accepted is in `DIR/dead-letters.ndjson`, on disk, before its window waits
    /// no more; `fractal-agent dead-letters list|show|retry|drop --data DIR` are for whoever looks
    /// after them.
    ///
    /// `on_answer` is given each final answer behind that and before the window is acknowledged; it may
    /// be `|_| Ok(())`. A crash in between sends the window again, and it gets the same answer. An
    /// error of it ends the shipping, and its window waits.
    ///
    /// # Errors
    ///
    /// `Deadline`: the time ended first; with how many requests and the server's last code. `Damaged`:
    /// a window cannot be read any more, the others were sent. `Untrusted`, `Scheme`: it is not the
    /// server that is meant, or is not spoken to as it speaks. `Full`: there is no room for a dead
    /// letter, and its window waits. `Disk`: acknowledgements or dead letters are not on disk. And
    /// what `on_answer` returned.
    pub fn ship(
        &self,
        client: &Client,
        deadline: Duration,
        mut on_answer: impl FnMut(&Shipped) -> Result<()>,
    ) -> Result<usize> {
        let deadline = Deadline::within(deadline);
        let last_seq = self.pending_seqs(0, usize::MAX).last().copied();
        let mut shipping = Shipping {
            outbox: self,
            client,
            deadline,
            on_answer: &mut on_answer,
            damaged: None,
            trouble: None,
            answered: 0,
            requests: 0,
        };
        let mut rounds = 0;
        while let Some(last_seq) = last_seq {
            let before = shipping.answered;
            shipping.round(last_seq)?;
            let waits = self.pending_seqs(0, usize::MAX).into_iter();
            let open = waits.filter(|seq| *seq <= last_seq).count();
            if open == 0 || (shipping.trouble.is_none() && shipping.answered == before) {
                break;
            }
            let why = shipping.trouble.take();
            if let Some(ending) = why.as_ref().and_then(|why| why.ending(shipping.requests)) {
                return Err(ending);
            }
            rounds = if shipping.answered > before { 1 } else { rounds + 1 };
            let asked = why.as_ref().and_then(|open| open.retry_after);
            let wait = client.policy().wait(rounds, asked, chance());
            if wait >= deadline.left() {
                let why = why.unwrap_or_else(|| shipping.late());
                return Err(Error::Deadline {
                    message: format!("outbox: {open} windows still wait: {}", why.message),
                    code: why.code,
                    attempts: shipping.requests,
                });
            }
            std::thread::sleep(wait);
        }
        shipping.damaged.map_or(Ok(shipping.answered), Err)
    }
}

struct Shipping<'a> {
    outbox: &'a Outbox,
    client: &'a Client,
    deadline: Deadline,
    on_answer: &'a mut dyn FnMut(&Shipped) -> Result<()>,
    damaged: Option<Error>,
    /// What a server said last that was no final answer.
    trouble: Option<Open>,
    answered: usize,
    requests: u32,
}

impl Shipping<'_> {
    /// Send everything that waits up to a number once, as long as the server answers.
    fn round(&mut self, last_seq: u64) -> Result<()> {
        let mut from_seq = 0;
        loop {
            let Some(group) = self.gather(&mut from_seq, last_seq)? else {
                return Ok(());
            };
            // Where no request gets through, those behind it would not either.
            if !self.send(&group)? {
                return Ok(());
            }
        }
    }

    /// What goes into the next request, from a number on.
    fn gather(&mut self, from_seq: &mut u64, last_seq: u64) -> Result<Option<Vec<Window>>> {
        let mut group: Vec<Window> = Vec::new();
        let mut bytes = 0;
        for seq in self.outbox.pending_seqs(*from_seq, REQUEST_RECORDS_MAX) {
            if seq > last_seq {
                break;
            }
            match self.outbox.read(seq) {
                Ok(Some(window)) => {
                    bytes += window.body.len() + 1;
                    if !group.is_empty() && bytes > REQUEST_BYTES_MAX {
                        break;
                    }
                    group.push(window);
                }
                Ok(None) => {}
                // It stays pending; its segment is evidence.
                Err(error @ Error::Damaged { .. }) => self.damaged = Some(error),
                Err(error) => return Err(error),
            }
            *from_seq = seq + 1;
        }
        Ok((!group.is_empty()).then_some(group))
    }

    /// Send windows; tells whether the server answers at all.
    fn send(&mut self, group: &[Window]) -> Result<bool> {
        if self.deadline.left().is_zero() {
            let late = self.late();
            self.trouble.get_or_insert(late);
            return Ok(false);
        }
        self.requests += 1;
        if let [window] = group {
            return match self.client.submit_once(&window.body, self.deadline.left()) {
                Ok(answer) => self.settle(group, vec![answer]),
                Err(open) => {
                    self.trouble = Some(open);
                    Ok(false)
                }
            };
        }
        let bodies: Vec<&[u8]> = group.iter().map(|window| window.body.as_slice()).collect();
        match self.client.batch_once(&bodies, self.deadline.left()) {
            Ok(Some(lines)) => {
                self.settle(group, lines)?;
                Ok(true)
            }
            Ok(None) => {
                let (one, other) = group.split_at(group.len() / 2);
                Ok(self.send(one)? && self.send(other)?)
            }
            Err(open) => {
                self.trouble = Some(open);
                Ok(false)
            }
        }
    }

    /// Note the answers that are final and about their windows, the dead letters first; tells whether
    /// all are.
    fn settle(&mut self, windows: &[Window], answers: Vec<Answer>) -> Result<bool> {
        let mut ended = Vec::with_capacity(windows.len());
        let mut letters = Vec::new();
        for (window, answer) in windows.iter().zip(answers) {
            let named = read_record(&window.body).ok();
            let Some(named) = named.filter(|named| answer.is_about(&named.pcs_id)) else {
                self.note(Open::of_answer(&answer));
                continue;
            };
            if !answer.is_accepted() {
                letters.push(letter_line(window, &named, &answer, now_ns()));
            }
            ended.push(Shipped { window: window.clone(), answer });
        }
        locked(&self.outbox.shared.log).letters.append(&letters)?;
        let are_all = ended.len() == windows.len();
        for shipped in ended {
            (self.on_answer)(&shipped)?;
            let Answer { status, replayed, .. } = shipped.answer;
            self.outbox.acknowledge(shipped.window.seq, status, replayed)?;
            self.answered += 1;
        }
        Ok(are_all)
    }

    /// Keep the trouble that asks for the longest wait.
    fn note(&mut self, open: Open) {
        let is_longer = |last: &Open| last.retry_after >= open.retry_after;
        if !self.trouble.as_ref().is_some_and(is_longer) {
            self.trouble = Some(open);
        }
    }

    fn late(&self) -> Open {
        Open::late(self.requests)
    }
}
