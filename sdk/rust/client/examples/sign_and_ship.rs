//! Sign a window, keep it on disk, and ship what waits:
//!
//! ```text
//! cargo run --release --locked --example sign_and_ship -- http://127.0.0.1:8080 agent-keyring.json demo-1 ./data
//! ```

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fractal_lba_client::{Client, Outbox, OutboxOptions};
use fractal_lba_core::{DEFAULT_SCALES, DEFAULT_SEED, Keyring, summarise_bytes};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, keyring, kid, dir] = arguments.as_slice() else {
        return Err("usage: sign_and_ship URL KEYRING KID DIR".into());
    };
    let ring = Keyring::parse(&std::fs::read(keyring)?, |_| None)?;
    let text = b"to be or not to be, that is the question. ".repeat(12);
    let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    // A stream counts its epochs; the clock does for one that sends now and then.
    let draft = summarise_bytes(&text, DEFAULT_SEED, &DEFAULT_SCALES)?;
    let draft = draft.draft("rust:answers", now_ms, now_ms);
    let body = ring.signer(kid)?.sign(draft)?.stored_bytes();

    let outbox = Outbox::open(dir, OutboxOptions::default())?;
    outbox.append("example:", &[body])?; // on disk: the machine may lose its power now
    let client = Client::builder(url).build()?;
    // What is not accepted is in DIR/dead-letters.ndjson before it waits no more.
    outbox.ship(&client, Duration::from_secs(60), |shipped| {
        let code = shipped.answer.code.as_deref().unwrap_or_default();
        println!("{} {} {code}", shipped.window.seq, shipped.answer.status);
        Ok(())
    })?;
    println!("waiting {}", outbox.len());
    outbox.close()?;
    Ok(())
}
