//! Shipping: a window leaves the outbox by a final answer about its record, and by nothing else.
#![cfg(unix)]

mod server;

use std::path::PathBuf;
use std::time::Duration;

use fractal_lba_client::{Client, Error, ErrorKind, Outbox, OutboxOptions, RetryPolicy, Shipped};
use server::{Asked, Reply, Server, bytes, problem, reply};

const LONG: Duration = Duration::from_secs(3_600);

struct TempFolder(PathBuf);

impl TempFolder {
    fn new(name: &str) -> Self {
        let name = format!("fractal-lba-shipping-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn record(epoch: u64) -> String {
    let sig = format!("{}=", "A".repeat(43));
    format!(r#"{{"epoch":{epoch},"pcs_id":"{epoch:064x}","shard_id":"plant-7","sig":"{sig}"}}"#)
}

fn filled(folder: &TempFolder, count: u64) -> Outbox {
    let outbox = Outbox::open(&folder.0, OutboxOptions::default()).expect("an outbox");
    let bodies: Vec<String> = (0..count).map(record).collect();
    outbox.append("api:", &bodies).expect("kept");
    outbox
}

fn client(url: &str) -> Client {
    let wait_first = Duration::from_millis(1);
    let policy = RetryPolicy { wait_first, ..RetryPolicy::default() };
    Client::builder(url).retry(policy).build().expect("a client")
}

/// A decision about the record of this epoch.
fn decision(epoch: u64) -> String {
    format!(r#"{{"accepted":true,"pcs_id":"{epoch:064x}"}}"#)
}

/// An answer to a batch that gives each record of it what is made of its epoch.
fn deciding(line: impl Fn(u64) -> String + Send + 'static) -> Reply {
    Reply::Made(Box::new(move |asked: &Asked| {
        let epochs = asked.lines().into_iter().map(|body| {
            let text = String::from_utf8(body).expect("UTF-8");
            let digits = text.trim_start_matches("{\"epoch\":");
            digits.split(',').next().and_then(|digits| digits.parse().ok()).expect("an epoch")
        });
        let lines: String = epochs.map(|epoch| line(epoch) + "\n").collect();
        bytes(200, "", &lines)
    }))
}

fn accepted(epoch: u64) -> String {
    format!(r#"{{"status":200,"body":{}}}"#, decision(epoch))
}

#[test]
fn what_waits_is_sent_until_each_window_has_a_final_answer() {
    let folder = TempFolder::new("each");
    let outbox = filled(&folder, 5);
    let first = |epoch: u64| match epoch {
        0 => accepted(0),
        1 => format!(r#"{{"status":202,"body":{},"replayed":true}}"#, decision(1)),
        2 => r#"{"status":409,"body":{"code":"pcs_id_conflict"}}"#.to_owned(),
        3 => r#"{"status":503,"body":{"code":"storage_unavailable"},"retry_after":0}"#.to_owned(),
        // Another record's decision is no answer to this one.
        _ => accepted(0),
    };
    let server = Server::start(vec![
        deciding(first),
        problem(503, "overloaded", "Retry-After: 0\r\n"),
        deciding(accepted),
    ]);
    let mut told = Vec::new();
    let note = |shipped: &Shipped| {
        let waits = outbox.read(shipped.window.seq)?.is_some();
        assert!(waits, "given before it is acknowledged");
        told.push((shipped.window.body.clone(), shipped.answer.status, shipped.answer.replayed));
        Ok(())
    };
    let count = outbox.ship(&client(&server.url), LONG, note).expect("shipped");
    assert_eq!(count, 5);
    let expected =
        [(0, 200, false), (1, 202, true), (2, 409, false), (3, 200, false), (4, 200, false)]
            .map(|(epoch, status, replayed)| (record(epoch).into_bytes(), status, replayed));
    assert_eq!(told, expected);
    assert!(outbox.is_empty());
    let sent: Vec<usize> = server.asked().iter().map(|asked| asked.lines().len()).collect();
    assert_eq!(sent, [5, 2, 2]);
    outbox.close().expect("a close");
    assert_eq!(filled(&folder, 0).len(), 0);
}

#[test]
fn a_proxys_page_ends_no_window() {
    let folder = TempFolder::new("proxy");
    let outbox = filled(&folder, 1);
    let server = Server::start(vec![
        reply(200, "", "<html>welcome</html>"),
        reply(200, "", &decision(7)),
        reply(403, "", "<html>blocked</html>"),
        problem(404, "not_found", ""),
        reply(302, "Location: /login\r\n", ""),
        reply(200, "", &decision(0)),
    ]);
    let count = outbox.ship(&client(&server.url), LONG, |_| Ok(())).expect("shipped");
    assert_eq!((count, server.asked().len(), outbox.len()), (1, 6, 0));
}

#[test]
fn a_refusal_of_the_whole_leads_to_halves_and_to_records_alone() {
    let folder = TempFolder::new("halves");
    let outbox = filled(&folder, 3);
    let server = Server::start(vec![
        problem(413, "too_large", ""),
        reply(200, "", &decision(0)),
        problem(401, "unauthenticated", ""),
        problem(401, "unknown_key", ""),
        reply(200, "", &decision(2)),
    ]);
    let mut told = Vec::new();
    let note = |shipped: &Shipped| {
        told.push((shipped.answer.status, shipped.answer.code.clone()));
        Ok(())
    };
    outbox.ship(&client(&server.url), LONG, note).expect("shipped");
    assert_eq!(told, [(200, None), (401, Some("unknown_key".to_owned())), (200, None)]);
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    let paths = ["batch", "submit", "batch", "submit", "submit"];
    assert_eq!(lines, paths.map(|path| format!("POST /v1/pcs/{path} HTTP/1.1")));
}

#[test]
fn what_has_no_answer_when_the_time_is_over_still_waits() {
    let folder = TempFolder::new("late");
    let outbox = filled(&folder, 300);
    let server = Server::start(vec![
        deciding(accepted),
        problem(429, "rate_limited", "Retry-After: 200\r\n"),
    ]);
    let within = Duration::from_secs(100);
    let error = outbox.ship(&client(&server.url), within, |_| Ok(())).expect_err("no time");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Deadline, Some("rate_limited")));
    assert_eq!(outbox.len(), 44);
    // What is not there refuses connections.
    let gone = { Server::start(Vec::new()).url.clone() };
    let within = Duration::from_millis(50);
    let error = outbox.ship(&client(&gone), within, |_| Ok(())).expect_err("nobody");
    assert_eq!((error.kind(), outbox.len()), (ErrorKind::Deadline, 44));
}

#[test]
fn a_callback_that_fails_ends_the_shipping_and_its_window_waits() {
    let folder = TempFolder::new("callback");
    let outbox = filled(&folder, 3);
    let server = Server::start(vec![deciding(accepted)]);
    let mut given = 0;
    let fail_second = |_: &Shipped| {
        given += 1;
        if given == 2 { Err(Error::Contract { message: "mine".to_owned() }) } else { Ok(()) }
    };
    let error = outbox.ship(&client(&server.url), LONG, fail_second).expect_err("mine");
    assert_eq!((error.to_string(), outbox.len()), ("mine".to_owned(), 2));
}

fn letters(folder: &TempFolder) -> String {
    std::fs::read_to_string(folder.0.join("dead-letters.ndjson")).unwrap_or_default()
}

#[test]
fn what_was_not_accepted_is_a_dead_letter_before_its_window_ends_and_once_more_after_a_kill() {
    let folder = TempFolder::new("letters");
    let outbox = filled(&folder, 3);
    let answers = |epoch: u64| match epoch {
        1 => r#"{"status":409,"body":{"code":"pcs_id_conflict"}}"#.to_owned(),
        2 => format!(r#"{{"status":422,"body":{{"accepted":false,"pcs_id":"{epoch:064x}"}}}}"#),
        _ => accepted(epoch),
    };
    let server = Server::start(vec![deciding(answers), deciding(answers)]);
    let mut seen = Vec::new();
    // What a kill right here would leave: the letters are there, and every window still waits.
    let die = |shipped: &Shipped| {
        seen.push((shipped.window.seq, letters(&folder).lines().count(), outbox.len()));
        Err(Error::Contract { message: "killed".to_owned() })
    };
    outbox.ship(&client(&server.url), LONG, die).expect_err("killed");
    assert_eq!(seen, [(1, 2, 3)]);
    outbox.close().expect("a close");
    let outbox = filled(&folder, 0);
    assert_eq!((outbox.len(), outbox.dead_letters()), (3, 2));
    outbox.ship(&client(&server.url), LONG, |_| Ok(())).expect("shipped");
    assert!(outbox.is_empty());
    let numbers: Vec<String> = letters(&folder)
        .lines()
        .map(|line| line.split(',').next().unwrap_or_default().to_owned())
        .collect();
    let twice = ["{\"outbox_seq\":2", "{\"outbox_seq\":3"].repeat(2);
    assert_eq!(numbers, twice, "the last line of a number counts");
    assert!(letters(&folder).contains(&format!(r#""record":{},"at":"#, record(1))));
}

#[test]
fn a_dead_letter_that_cannot_be_written_keeps_its_window() {
    let folder = TempFolder::new("unwritten");
    let outbox = filled(&folder, 1);
    // A folder in the place of the file, made while the outbox is open.
    std::fs::create_dir(folder.0.join("dead-letters.ndjson")).expect("a folder");
    let server = Server::start(vec![problem(409, "pcs_id_conflict", "")]);
    let mut told = 0;
    let count = |_: &Shipped| {
        told += 1;
        Ok(())
    };
    let error = outbox.ship(&client(&server.url), LONG, count).expect_err("no letter");
    assert_eq!((error.kind(), told, outbox.len()), (ErrorKind::Disk, 0, 1));
}

#[test]
fn an_empty_outbox_asks_nobody() {
    let folder = TempFolder::new("empty");
    let outbox = filled(&folder, 0);
    let server = Server::start(Vec::new());
    assert_eq!(outbox.ship(&client(&server.url), LONG, |_| Ok(())).expect("nothing"), 0);
    assert!(server.asked().is_empty());
}
