//! A server on a real socket that says what it is told to, and remembers what it was asked.
#![allow(dead_code)] // each test takes a part of it

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What came with one request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The head in lower case, without its empty line.
    pub(crate) head: String,
    /// The first line as it came.
    pub(crate) line: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The lines of the body, unpacked where it is gzip or zstd.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        if self.head.contains("content-encoding: gzip") {
            let mut gzip = flate2::read::MultiGzDecoder::new(self.body.as_slice());
            gzip.read_to_end(&mut lines).expect("sound gzip");
        } else if self.head.contains("content-encoding: zstd") {
            lines = unpack_zstd(&self.body);
        } else {
            lines.clone_from(&self.body);
        }
        let whole = lines.strip_suffix(b"\n").expect("whole lines");
        whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

#[cfg(feature = "zstd")]
fn unpack_zstd(body: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(body).expect("sound zstd")
}

#[cfg(not(feature = "zstd"))]
fn unpack_zstd(_: &[u8]) -> Vec<u8> {
    panic!("expected a client without zstd to send none")
}

/// The bytes of an answer, made of what was asked.
pub(crate) type Made = dyn FnOnce(&Asked) -> Vec<u8> + Send;

/// What a request is answered with.
pub(crate) enum Reply {
    /// These bytes, and the connection is closed.
    Raw(Vec<u8>),
    /// Whatever is made of what was asked.
    Made(Box<Made>),
    /// These bytes again and again, as long as somebody reads them.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing: the connection stays open until the server ends.
    Silence,
}

/// An answer of HTTP.
pub(crate) fn reply(status: u16, headers: &str, body: &str) -> Reply {
    Reply::Raw(bytes(status, headers, body))
}

/// The bytes of an answer; `headers` are whole lines.
pub(crate) fn bytes(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// A problem document.
pub(crate) fn problem(status: u16, code: &str, headers: &str) -> Reply {
    reply(status, headers, &format!(r#"{{"status":{status},"code":"{code}"}}"#))
}

/// A server; what is asked beyond its replies ends in a closed connection.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and answers each request with the next reply.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(false)));
        let (noted, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || serve(&listener, replies.into(), &noted, &stopped));
        Self { url, asked, stop, thread: Some(thread) }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.stop.lock().expect("no panic") = true;
        // Wakes it where it waits for a connection.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    listener: &TcpListener,
    mut replies: VecDeque<Reply>,
    noted: &Mutex<Vec<Asked>>,
    stopped: &Mutex<bool>,
) {
    let mut silent = Vec::new();
    for stream in listener.incoming() {
        if *stopped.lock().expect("no panic") {
            return;
        }
        let mut stream = stream.expect("a connection");
        let Some(asked) = read(&mut stream) else { continue };
        noted.lock().expect("no panic").push(asked.clone());
        // Whoever asked may have hung up.
        let _ = match replies.pop_front() {
            None => Ok(()),
            Some(Reply::Raw(bytes)) => stream.write_all(&bytes),
            Some(Reply::Made(make)) => stream.write_all(&make(&asked)),
            Some(Reply::Endless(head, part)) => {
                let mut written = stream.write_all(&head);
                while written.is_ok() {
                    written = stream.write_all(&part);
                }
                written
            }
            Some(Reply::Silence) => {
                silent.push(stream);
                Ok(())
            }
        };
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut data = Vec::new();
    let mut part = [0; 65_536];
    let head_end = loop {
        if let Some(at) = data.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => data.extend_from_slice(&part[..count]),
        }
    };
    let head = String::from_utf8_lossy(&data[..head_end]).into_owned();
    let line = head.lines().next()?.to_owned();
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    let mut body = data.split_off(head_end + 4);
    while body.len() < length {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => body.extend_from_slice(&part[..count]),
        }
    }
    Some(Asked { head, line, body })
}
