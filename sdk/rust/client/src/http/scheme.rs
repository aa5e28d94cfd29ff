//! Whether a server that gave no HTTP answer speaks TLS.
//!
//! A TLS server hangs up on plain HTTP, which looks like any lost connection. It does answer the first
//! message of a handshake, with its own or with an alert; nothing else does.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

/// For all of it, a name's lookup included. It is asked beside a failed request, so it stays short; a
/// server that takes longer is not told apart.
const TIMEOUT: Duration = Duration::from_secs(5);
const PORT: &str = ":80";
/// The types of TLS records that answer a handshake, and the major version behind each.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const VERSION_MAJOR: u8 = 3;

/// Of the time that is left so much stays for further attempts: a server that is asked for TLS while it
/// speaks HTTP may wait for the rest of a request, for as long as it likes.
const LEFT_SHARE: u32 = 4;

/// Whether the server of an `http` URL answers a TLS handshake, within the bound and a share of what is
/// left.
pub(super) fn speaks_tls(authority: &str, left: Duration) -> bool {
    let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    let place = if has_port { authority.to_owned() } else { format!("{authority}{PORT}") };
    let (told, heard) = mpsc::sync_channel(1);
    // A name's lookup has no bound of its own: whoever waits has one.
    let asked =
        std::thread::Builder::new().name("fractal-lba-scheme".to_owned()).spawn(move || {
            // Nobody listens any more where it took too long.
            let _ = told.send(greeted(&place).unwrap_or(false));
        });
    asked.is_ok() && heard.recv_timeout(TIMEOUT.min(left / LEFT_SHARE)).unwrap_or(false)
}

fn greeted(place: &str) -> std::io::Result<bool> {
    let address = place.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&client_hello())?;
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    Ok(matches!(head, [ALERT | HANDSHAKE, VERSION_MAJOR]))
}

/// A `ClientHello` that TLS 1.2 and 1.3 both answer. Source: RFC 8446 section 4.1.2.
fn client_hello() -> Vec<u8> {
    let mut random = [0x5A; 32];
    // It keeps nothing secret: a fixed one does as well.
    let _ = getrandom::fill(&mut random);
    // Any 32 bytes are a key of x25519, and nothing is ever decrypted.
    let key_share = with_length(&[&[0, 29], with_length(&[&random]).as_slice()]);
    let extensions = [
        extension(43, &[4, 3, 4, 3, 3]),          // versions 1.3 and 1.2
        extension(10, &[0, 4, 0, 29, 0, 23]),     // x25519, secp256r1
        extension(13, &[0, 6, 4, 3, 8, 4, 4, 1]), // signatures of ECDSA, RSA-PSS and RSA
        extension(51, &key_share),
    ]
    .concat();
    let hello = [
        &[3, 3][..],
        &random,
        &[0],
        &[0, 6, 0x13, 0x01, 0xC0, 0x2B, 0xC0, 0x2F], // AES-128-GCM of 1.3, of 1.2 with ECDSA and RSA
        &[1, 0],
        &with_length(&[&extensions]),
    ]
    .concat();
    let message = [&[1, 0][..], &with_length(&[&hello])].concat();
    [&[HANDSHAKE, VERSION_MAJOR, 1][..], &with_length(&[&message])].concat()
}

fn extension(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[0, kind][..], &with_length(&[data])].concat()
}

/// The parts behind their length in two bytes.
fn with_length(parts: &[&[u8]]) -> Vec<u8> {
    let data = parts.concat();
    // Each is some hundred bytes at the most.
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], &data].concat()
}
