"""What the help of the commands ends in: the rules of windows, examples, exit codes."""

from fractal_lba.command.usage import epilog

RUN_CODES = {
    0: "every window was answered and accepted",
    1: "a defect of this program",
    2: "a setting, a source or the data folder cannot be used (also: locked by another agent)",
    3: "stopped with windows pending: they are kept, and sent by the next run",
    4: "the outbox or the dead letters cannot be written, or are damaged, or the outbox was full\n"
    "       and refused (--outbox-full); nothing that is not on disk was sent",
    5: "every window was answered, and some were not accepted: see DIR/dead-letters.ndjson",
    6: "no window had a final answer for --give-up-after: all are kept, and sent by the next run",
    130: "interrupted before anything was begun; later SIGINT ends a run like SIGTERM",
}

RUN_EXAMPLES = [
    "fractal-agent run sensors.csv --columns temperature,pressure --data ./outbox \\",
    "    --url http://server:8080 --keyring agent-keyring.json",
    "fractal-agent run answers.jsonl --columns tokens,seconds --follow --data ./outbox \\",
    "    --url http://server:8080 --keyring agent-keyring.json",
    "fractal-agent run live: --window 60 --duration 3600 --data ./outbox \\",
    "    --url http://server:8080 --keyring agent-keyring.json",
]

GROUP_END = epilog(
    examples=[*RUN_EXAMPLES, "fractal-agent status --data ./outbox"], exit_codes=RUN_CODES
)

RUN_END = epilog(
    examples=[
        *RUN_EXAMPLES,
        "fractal-agent run sensors.csv --ordered --data ./outbox --keyring agent-keyring.json \\",
        "    --url https://near:8443 --url https://far:8443 --ca ca.pem",
    ],
    exit_codes=RUN_CODES,
)

STATUS_END = epilog(
    examples=[
        "fractal-agent status --data ./outbox",
        "fractal-agent status --data ./outbox --json --ids",
    ],
    exit_codes={
        0: "the outbox was read whole",
        1: "a defect of this program",
        2: "there is no outbox, or a newer program wrote it",
        4: "parts of the outbox are damaged, or the disk refused",
    },
)

OUTBOX_END = epilog(
    examples=[
        "fractal-agent outbox inspect --data ./outbox",
        "fractal-agent outbox inspect --data ./outbox --stream sensors.csv --older-than 3600",
    ],
    exit_codes={
        0: "the outbox was read whole",
        1: "a defect of this program",
        2: "there is no outbox, or a newer program wrote it",
        4: "parts of the outbox are damaged, or the disk refused",
    },
)

LETTERS_CODES = {
    0: "it was done",
    1: "a defect of this program",
    2: "there is no such folder, nothing fits, nothing was chosen, or an agent runs there",
    4: "lines of the dead letters are damaged, or the disk refused",
}

LETTERS_END = epilog(
    examples=[
        "fractal-agent dead-letters list --data ./outbox",
        "fractal-agent dead-letters retry --data ./outbox --code unknown_key",
    ],
    exit_codes=LETTERS_CODES,
)

WINDOW_RULES = """\
Windows: a window holds N rows (bytes/1: N bytes) as long as at least 3 are left after it. Where 1
or 2 would be left over at the end of a source, they are included in its last window (where that
would pass 65,536, the window ends early instead and leaves 3). A last window may be shorter than
N; a source of fewer than 3 rows or bytes is an error.

By time (--window-seconds): tables by --time-column, others as they arrive. A window ends when a row
is later than its end by --lateness; later rows of it are put into the window behind the last that
ended, whose record counts them. Fewer than 3 rows go on into the next window.

Again: the next epoch of each stream and the position of each file are kept with every window in
DIR/outbox. A rerun goes on behind the last window kept, also after a crash, and observes what was
appended to a file since. A file that is shorter than it was read, or differs right before that
position, is refused; a change further in front is not noticed. 1 or 2 rows appended later wait for
more. A live source has no position: its epochs go on.

A followed file (--follow) is read through renaming and truncation; its last windows wait in it for
more, also over a restart. Standard input has no position. --text makes each line, paragraph or file
a window of its own; texts of fewer than 3 bytes are passed over and counted.

A last CSV line without a line end counts as a line. Where the file later goes on inside that line,
it is refused with the row's number. Such a line with too few cells is not there yet: it is left for
the next run, and the run says so. Append whole lines to a file that grows.
"""
