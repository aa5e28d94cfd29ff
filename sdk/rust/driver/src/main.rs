//! The driver: one JSON object a line in, one a line out, as `sdk/driver.md` says.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};

use fractal_lba_driver::client::{ClientOps, Opened};
use fractal_lba_driver::ops::{answer_line, CoreOps, Ops};
use fractal_lba_driver::outbox::OutboxOps;

fn main() -> io::Result<()> {
    // Each group of ops is registered here.
    let opened = Opened::default();
    let mut groups: Vec<Box<dyn Ops>> = vec![
        Box::new(CoreOps),
        Box::new(ClientOps { opened: opened.clone() }),
        Box::new(OutboxOps { opened, outbox: None }),
    ];
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().split(b'\n') {
        output.write_all(&answer_line(&mut groups, &line?))?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}
