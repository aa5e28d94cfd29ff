//! The golden vectors, each file whole. Without the usual harness, so that the counts are always shown.

use std::fs;
use std::path::Path;

use fractal_lba_driver::vectors::run;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../golden_vectors");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the golden vectors lie beside the SDKs")
        .map(|entry| entry.expect("a folder can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    let (mut run_files, mut run_cases, mut failures) = (0, 0, Vec::new());
    for path in &files {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name is text");
        let outcome = run(name, &fs::read(path).expect("a file can be read"));
        match outcome.cases {
            Some(cases) => {
                println!("{name}.json: {cases} cases, {} failed", outcome.failures.len());
                run_files += 1;
                run_cases += cases;
            }
            None if outcome.failures.is_empty() => println!("{name}.json: for servers, not run"),
            None => {}
        }
        failures.extend(outcome.failures.into_iter().map(|line| format!("{name}.json {line}")));
    }
    println!("rust: {run_files} files, {run_cases} cases, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
