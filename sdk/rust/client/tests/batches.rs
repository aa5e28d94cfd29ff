//! Batches before real sockets: an answer for each line, and none where lines and answers differ.

mod server;

use std::time::Duration;

use fractal_lba_client::{
    BATCH_RECORDS_MAX, Client, Encoding, ErrorKind, RetryPolicy, split_batch,
};
use server::{Reply, Server, problem, reply};

const BODIES: [&[u8]; 3] = [br#"{"n":1}"#, br#"{"n":2}"#, br#"{"n":3}"#];

fn client(server: &Server, retries: u32) -> Client {
    let wait_first = Duration::from_millis(1);
    let policy = RetryPolicy { retries, wait_first, ..RetryPolicy::default() };
    Client::builder(&server.url).retry(policy).build().expect("a client")
}

fn lines(statuses: &[u16]) -> Reply {
    let lines = statuses.iter().map(|status| {
        format!("{{\"status\":{status},\"body\":{{\"code\":\"c{status}\"}},\"replayed\":true}}\n")
    });
    reply(200, "Content-Type: application/x-ndjson\r\n", &lines.collect::<String>())
}

#[test]
fn each_line_has_its_answer_however_it_is_packed() {
    let encodings = [
        Encoding::Identity,
        Encoding::Gzip,
        #[cfg(feature = "zstd")]
        Encoding::Zstd,
    ];
    let server = Server::start(encodings.map(|_| lines(&[200, 409, 422])).into());
    let client = client(&server, 0);
    for encoding in encodings {
        let answers = client.batch(&BODIES, encoding).expect("a batch");
        let told: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.expect("a final answer"))
            .map(|answer| (answer.status, answer.code, answer.replayed, answer.attempts))
            .collect();
        let code = |code: &str| Some(code.to_owned());
        assert_eq!(
            told,
            [(200, None, true, 1), (409, code("c409"), true, 1), (422, code("c422"), true, 1),]
        );
    }
    for asked in server.asked() {
        assert_eq!(asked.line, "POST /v1/pcs/batch HTTP/1.1");
        assert!(asked.head.contains("content-type: application/x-ndjson"));
        assert_eq!(asked.lines(), BODIES);
    }
}

#[test]
fn a_line_without_a_final_answer_is_sent_again_and_no_other() {
    let server = Server::start(vec![lines(&[200, 503, 429]), lines(&[503, 200]), lines(&[410])]);
    let answers = client(&server, 5).batch(&BODIES, Encoding::Gzip).expect("a batch");
    let told: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("a final answer"))
        .map(|answer| (answer.status, answer.attempts))
        .collect();
    assert_eq!(told, [(200, 1), (410, 3), (200, 2)]);
    let sent: Vec<_> = server.asked().iter().map(server::Asked::lines).collect();
    assert_eq!(sent, [BODIES.to_vec(), BODIES[1..].to_vec(), vec![BODIES[1]]]);
}

#[test]
fn what_has_a_final_answer_keeps_it_when_the_others_get_none() {
    let server = Server::start(vec![lines(&[200, 503, 409]), lines(&[503])]);
    let answers = client(&server, 1).batch(&BODIES, Encoding::Gzip).expect("a batch");
    assert_eq!(answers[0].as_ref().expect("final").status, 200);
    assert_eq!(answers[2].as_ref().expect("final").status, 409);
    let error = answers[1].as_ref().expect_err("none");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("c503")));
}

#[test]
fn an_answer_out_of_step_answers_no_record() {
    let sound = "{\"status\":200,\"body\":{}}\n";
    for body in [
        String::new(),
        sound.repeat(2),
        sound.repeat(4),
        format!("{sound}{sound}{}", sound.trim_end()),
        format!("{sound}{sound}{{\"status\":200}}\n"),
        format!("{sound}{sound}{{\"status\":99,\"body\":{{}}}}\n"),
        format!("{sound}{sound}{{\"status\":\"200\",\"body\":{{}}}}\n"),
        format!("{sound}{sound}<html>\n"),
        format!("{sound}\n{sound}"),
    ] {
        let server = Server::start(vec![reply(200, "", &body)]);
        for answer in client(&server, 0).batch(&BODIES, Encoding::Gzip).expect("a batch") {
            assert_eq!(answer.expect_err("none").kind(), ErrorKind::Unavailable, "{body}");
        }
    }
}

#[test]
fn a_refusal_of_the_whole_is_no_answer_to_its_records() {
    let server = Server::start(vec![problem(403, "forbidden", "")]);
    for answer in client(&server, 5).batch(&BODIES, Encoding::Gzip).expect("a batch") {
        let error = answer.expect_err("no answer");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some("forbidden")));
    }
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn what_is_no_batch_is_refused_before_it_is_sent() {
    let server = Server::start(Vec::new());
    let client = client(&server, 0);
    let many = vec![b"{}".as_slice(); BATCH_RECORDS_MAX + 1];
    let large = vec![b' '; 65_537];
    let heavy = vec![vec![b' '; 65_536]; 256];
    let heavy: Vec<&[u8]> = heavy.iter().map(Vec::as_slice).collect();
    let bad: [&[&[u8]]; 7] = [&[], &many, &[b""], &[b"{\n}"], &[b"{}\r"], &[b"{}", &large], &heavy];
    for bodies in bad {
        let error = client.batch(bodies, Encoding::Gzip).expect_err("no batch");
        assert_eq!(error.kind(), ErrorKind::Contract);
    }
    assert!(server.asked().is_empty());
    let pieces: Vec<usize> = split_batch(&heavy).map(<[_]>::len).collect();
    assert_eq!(pieces, [255, 1]);
    assert_eq!(split_batch::<&[u8]>(&[]).count(), 0);
}
