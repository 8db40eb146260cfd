//! Every cast, typed again: what the terminal shows now is what the recording says.
//!
//! `cargo book cast NAME` writes what was recorded here into `book/casts`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use book::casts::{COLUMNS, Cast, ROWS, Recorder, Script};
use book::console::{Need, transcripts};
use nix::libc::winsize;
use nix::pty::openpty;
use place::{OwnState, build_programs, shell};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use testkit::{BUSYBOX, DEADLINE, Host, Test};

const NEEDS: &[testkit::Need] = &[testkit::Need::Root, BUSYBOX, testkit::Need::Time(Duration::from_secs(150))];

fn main() -> ExitCode {
    if std::env::var_os("TESTKIT_STAGE").is_none() {
        build_programs();
    }
    let names = book::casts::names().expect("the folder of the casts");
    let tests = names.into_iter().map(|name| Test { name: name.leak(), needs: NEEDS, body: plays_again });
    testkit::main(&tests.collect::<Vec<_>>())
}

fn plays_again(host: &Host) {
    let name = host.test_name();
    let script = Script::read(&name).unwrap();
    let now = record(host, &script);
    let wanted = std::env::var_os(book::casts::ANEW).is_none();
    let agrees = Cast::read(&name).is_ok_and(|stored| stored.agrees(&now, script.any_numbers));
    let path = book::casts::path(&name);
    assert!(wanted && agrees, "\n{}", book::console::complaint_of_file(&path, &now.lines().unwrap()));
}

fn record(host: &Host, script: &Script) -> Cast {
    let work = host.folder("work");
    let _state = OwnState::mount(&work);
    prepare(host, &work);
    let mut recorder = Recorder::new(script);
    let mut terminal = Terminal::open(&shell(host, &work, None));
    for (prompt, keys) in &script.typed {
        terminal.show_until(prompt, &mut recorder);
        terminal.echo(keys);
        recorder.typed(keys);
        terminal.send("\r");
    }
    terminal.show_until("$ ", &mut recorder);
    terminal.send("exit\r");
    terminal.shell.wait().unwrap();
    recorder.finish()
}

/// The folder as `ready.md` makes it, on a host as hosts are: with a loopback that is up.
fn prepare(host: &Host, work: &Path) {
    Command::new("busybox").args(["ip", "link", "set", "lo", "up"]).status().unwrap();
    let pages = book::pages::pages().unwrap();
    let blocks = pages.iter().flat_map(transcripts).filter(|block| block.setup && block.need == Need::Nothing);
    book::console::run(&mut shell(host, work, None), &blocks.collect::<Vec<_>>(), &[]).unwrap();
}

/// A shell at a terminal, and what it shows, piece by piece.
struct Terminal {
    master: File,
    shell: Child,
    pieces: Receiver<String>,
    /// When something was shown or sent last.
    last: Instant,
}

impl Terminal {
    /// `like` says folder and environment.
    fn open(like: &Command) -> Self {
        let size = winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        // With a controlling terminal, as a person's shell has it, and without a line editor, which would repaint what is typed.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "bash", "--norc", "--noprofile", "--noediting", "-i"]).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
        command.env("PS1", "$ ").env("COLUMNS", COLUMNS.to_string()).current_dir(like.get_current_dir().unwrap());
        let shell = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let pieces = read(File::from(pty.master.try_clone().unwrap()));
        Self { master: pty.master.into(), shell, pieces, last: Instant::now() }
    }

    /// The next piece, and how long it took.
    fn next(&mut self, wanted: &str) -> (f64, String) {
        let piece =
            self.pieces.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("the terminal never shows `{wanted}`"));
        let after = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        (after, piece)
    }

    fn show_until(&mut self, prompt: &str, recorder: &mut Recorder) {
        while !recorder.is_at(prompt) {
            let (after, piece) = self.next(prompt);
            recorder.output(after, &piece);
        }
    }

    /// Types keys, and swallows their echo.
    fn echo(&mut self, keys: &str) {
        self.send(keys);
        let mut shown = String::new();
        while shown != keys {
            shown += &self.next(keys).1;
        }
    }

    fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
        self.last = Instant::now();
    }
}

/// Whole characters only, and without the question where the cursor is, which busybox asks and nobody has to answer.
fn read(mut master: File) -> Receiver<String> {
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let (mut buffer, mut rest) = ([0; 4096], Vec::new());
        // At its end a terminal gives an error.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            rest.extend_from_slice(&buffer[..length]);
            let whole = std::str::from_utf8(&rest).map_or_else(|error| error.valid_up_to(), str::len);
            let piece = String::from_utf8(rest.drain(..whole).collect()).unwrap().replace("\u{1b}[6n", "");
            if !piece.is_empty() && sender.send(piece).is_err() {
                break;
            }
        }
    });
    pieces
}
