//! The client before real sockets: what is final, what is tried again, and how long.

mod server;

use std::time::Duration;

use fractal_lba_client::{Client, ErrorKind, RetryPolicy};
use server::{Reply, Server, bytes, problem, reply};

const BODY: &[u8] = br#"{"payload":"hunter2"}"#;
const TOKEN: &str = "hunter3";
/// No test waits for it: where one would, the client hangs and the suite says so.
const LONG: Duration = Duration::from_secs(3_600);

fn policy(retries: u32) -> RetryPolicy {
    let wait_first = Duration::from_millis(1);
    RetryPolicy { retries, deadline: LONG, wait_first, ..RetryPolicy::default() }
}

fn client(server: &Server, retries: u32) -> Client {
    Client::builder(&server.url).token(TOKEN).retry(policy(retries)).build().expect("a client")
}

fn assert_no_secret(shown: &impl std::fmt::Debug) {
    let shown = format!("{shown:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn every_final_status_is_an_answer_at_the_first_attempt() {
    let statuses = [200, 202, 400, 401, 403, 404, 409, 410, 413, 415, 422];
    let headers = "Idempotent-Replayed: true\r\nX-Received-At: 2026-11-22T06:00:00.000Z\r\n";
    let replies = statuses.map(|status| problem(status, "some_code", headers));
    let server = Server::start(replies.into());
    let client = client(&server, 3);
    for status in statuses {
        let answer = client.submit(BODY).expect("a final answer");
        assert_eq!((answer.status, answer.attempts), (status, 1));
        let code = (status >= 400).then_some("some_code");
        assert_eq!(answer.code.as_deref(), code);
        assert!(answer.replayed);
        assert_eq!(answer.received_at.as_deref(), Some("2026-11-22T06:00:00.000Z"));
        assert_no_secret(&answer);
    }
    let asked = server.asked();
    assert_eq!(asked.len(), statuses.len());
    assert_eq!(
        (asked[0].line.as_str(), asked[0].body.as_slice()),
        ("POST /v1/pcs/submit HTTP/1.1", BODY)
    );
    for header in ["content-type: application/json", "accept-encoding: identity"] {
        assert!(asked[0].head.contains(header), "{}", asked[0].head);
    }
    assert!(asked[0].head.contains(&format!("authorization: bearer {TOKEN}")));
    assert_no_secret(&client);
}

#[test]
fn what_is_not_final_is_tried_again_until_it_is() {
    let elsewhere = Server::start(vec![reply(200, "", "{}")]);
    let server = Server::start(vec![
        problem(429, "rate_limited", "Retry-After: 0\r\n"),
        problem(503, "overloaded", ""),
        problem(500, "internal_error", ""),
        problem(408, "timeout", ""),
        reply(307, &format!("Location: {}/v1/pcs/submit\r\n", elsewhere.url), ""),
        Reply::Raw(Vec::new()),
        Reply::Raw(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{}".to_vec()),
        reply(200, "Content-Encoding: gzip\r\n", "zipped"),
        reply(200, "", "{}"),
    ]);
    let answer = client(&server, 20).submit(BODY).expect("a final answer");
    assert_eq!((answer.status, answer.attempts, answer.body.as_slice()), (200, 10, &b"{}"[..]));
    assert!(elsewhere.asked().is_empty(), "a redirect was followed");
}

#[test]
fn retries_end_with_the_last_code() {
    let server = Server::start((0..9).map(|_| problem(503, "draining", "")).collect());
    let error = client(&server, 2).submit(BODY).expect_err("no final answer");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("draining")));
    assert!(matches!(error, fractal_lba_client::Error::Unavailable { attempts: 3, .. }));
    assert_eq!(server.asked().len(), 3);
    assert_no_secret(&error);
}

#[test]
fn a_longer_wait_than_the_time_that_is_left_ends_the_call_at_once() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let until = "Retry-After: Sun, 06 Nov 1994 08:54:37 GMT\r\n";
    for headers in ["Retry-After: 299\r\n".to_owned(), format!("{date}{until}")] {
        let server = Server::start(vec![problem(429, "quota_exceeded", &headers)]);
        let policy = RetryPolicy { deadline: Duration::from_secs(200), ..policy(9) };
        let client = Client::builder(&server.url).retry(policy).build().expect("a client");
        let error = client.submit(BODY).expect_err("no time");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Deadline, Some("quota_exceeded")));
        assert_eq!(server.asked().len(), 1);
        assert_no_secret(&error);
    }
}

#[test]
fn a_server_that_says_nothing_is_left_after_the_time_of_an_attempt() {
    let server = Server::start(vec![Reply::Silence, reply(200, "", "{}")]);
    let builder = Client::builder(&server.url).retry(policy(1));
    let client = builder.timeout(Duration::from_millis(300)).build().expect("a client");
    assert_eq!(client.submit(BODY).expect("an answer").attempts, 2);
}

#[test]
fn a_deadline_ends_an_attempt_that_is_under_way() {
    let server = Server::start(vec![Reply::Silence]);
    let policy = RetryPolicy { deadline: Duration::from_millis(300), ..policy(9) };
    let client =
        Client::builder(&server.url).retry(policy).timeout(LONG).build().expect("a client");
    let error = client.submit(BODY).expect_err("no time");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Deadline, None));
    assert_no_secret(&error);
}

#[test]
fn an_answer_without_an_end_is_not_read_to_its_end() {
    let length = "HTTP/1.1 200 X\r\nContent-Length: 99999999999\r\n\r\n";
    let chunked = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
    let header = "HTTP/1.1 200 X\r\nX-Long: ";
    for (head, part) in
        [(length, "x".repeat(65_536)), (chunked, chunk), (header, "y".repeat(65_536))]
    {
        let endless = Reply::Endless(head.as_bytes().to_vec(), part.into_bytes());
        let server = Server::start(vec![endless]);
        let error = client(&server, 0).submit(BODY).expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{head}");
        assert!(error.to_string().len() < 300, "{error}");
    }
}

#[test]
fn an_answer_of_just_the_bound_is_one() {
    for (size, is_taken) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let server = Server::start(vec![reply(200, "", &"x".repeat(size))]);
        assert_eq!(client(&server, 0).submit(BODY).is_ok(), is_taken, "{size}");
    }
}

#[test]
fn records_are_read_back_and_listed_under_encoded_names() {
    let server = Server::start((0..4).map(|_| reply(200, "", "{}")).collect());
    let client = client(&server, 0);
    client.get("ab/../?x").expect("an answer");
    client.get_version("ab", "0.1").expect("an answer");
    client.list(&[("shard_id", "plant 7&x=1"), ("limit", "2")]).expect("an answer");
    client.list(&[]).expect("an answer");
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/pcs/ab%2F..%2F%3Fx?version=1.0 HTTP/1.1",
            "GET /v1/pcs/ab?version=0.1 HTTP/1.1",
            "GET /v1/pcs?shard_id=plant%207%26x%3D1&limit=2 HTTP/1.1",
            "GET /v1/pcs HTTP/1.1",
        ]
    );
}

#[test]
fn clones_are_used_by_many_threads() {
    let server = Server::start((0..16).map(|_| Reply::Raw(bytes(200, "", "{}"))).collect());
    let client = client(&server, 3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let client = client.clone();
            scope.spawn(move || assert_eq!(client.submit(BODY).expect("an answer").status, 200));
        }
    });
    assert_eq!(server.asked().len(), 4);
}
