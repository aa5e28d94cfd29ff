//! Keep signed records on disk, one a line on standard input, and ship what waits to a server:
//!
//! ```text
//! cargo run --release --locked -p fractal-lba-client --example keep_and_ship -- http://127.0.0.1:8080 ./data < records
//! ```

use std::io::BufRead;
use std::time::Duration;

use fractal_lba_client::{Client, Outbox, OutboxOptions, Result};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(data)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: keep_and_ship URL DIR < RECORDS");
        std::process::exit(2);
    };
    let outbox = Outbox::open(data, OutboxOptions::default())?;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is UTF-8");
        outbox.append("stdin:", &[line])?;
    }
    let client = Client::builder(url).build()?;
    let answered = outbox.ship(&client, PATIENCE, |shipped| {
        let code = shipped.answer.code.as_deref().unwrap_or("-");
        println!("{} {} {code}", shipped.window.seq, shipped.answer.status);
        Ok(())
    });
    println!("{} wait", outbox.len());
    outbox.close()?;
    answered.map(drop)
}
