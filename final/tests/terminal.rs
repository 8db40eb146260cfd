//! `-t`: a terminal inside, joined with the one outside; through a pty of the test's own, and once through tmux.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, TARA, error};
use nix::libc::winsize;
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{BUSYBOX, Host, Need, until};

const TMUX: Need = Need::Program("tmux", "tmux");
const MINUTES: Need = Need::Time(Duration::from_secs(120));

testkit::suite! {
    the_program_has_a_terminal: [BUSYBOX],
    the_exit_code_is_the_programs: [BUSYBOX],
    ctrl_c_reaches_the_program: [BUSYBOX],
    the_size_is_ours_and_follows_ours: [BUSYBOX],
    an_added_programs_size_is_ours_and_follows_ours: [BUSYBOX],
    a_megabyte_of_output_arrives_whole: [BUSYBOX],
    a_megabyte_typed_at_once_does_not_block: [BUSYBOX],
    the_terminal_is_sane_again: [BUSYBOX],
    the_terminal_is_sane_after_a_kill: [BUSYBOX],
    a_terminal_without_input: [BUSYBOX],
    input_that_is_no_terminal_is_refused: [BUSYBOX],
    a_person_at_a_terminal: [BUSYBOX, TMUX, MINUTES],
    a_person_detaches_and_comes_back: [BUSYBOX, TMUX, MINUTES],
    keys_detach_from_a_pty: [BUSYBOX],
    a_killed_run_leaves_the_container: [BUSYBOX],
    keys_leave_a_program_that_was_added: [BUSYBOX],
    an_added_program_ends_with_its_terminal: [BUSYBOX],
}

/// A terminal with `tara` at it, and somebody who reads what it shows.
struct Screen {
    master: OwnedFd,
    /// The program's side, to ask for its mode.
    slave: OwnedFd,
    tara: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

fn size(rows: u16, columns: u16) -> winsize {
    winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Screen {
    fn open(mut command: Command) -> Self {
        let pty = openpty(Some(&size(33, 77)), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let tara = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, sink) = (File::from(pty.master.try_clone().unwrap()), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().extend(&buffer[..length]);
            }
        });
        Self { master: pty.master, slave: pty.slave, tara, shown }
    }

    /// `run --rm` with options, and a script for the shell inside.
    fn run(engine: &Engine<'_>, options: &[&str], script: &str) -> Self {
        Self::open(engine.command(&[&["run", "--rm"], options, &["box", "sh", "-c", script]].concat()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, words: &str) {
        until(words, || self.text().contains(words).then_some(()));
    }

    fn type_in(&self, bytes: &[u8]) {
        File::from(self.master.try_clone().unwrap()).write_all(bytes).unwrap();
    }

    fn mode(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    fn exit_code(&mut self) -> i32 {
        until("tara ends", || self.tara.try_wait().unwrap()).code().unwrap()
    }
}

fn the_program_has_a_terminal(host: &Host) {
    let engine = Engine::with_box(host);
    for init in [&["-it"][..], &["-it", "--init"]] {
        let mut screen = Screen::run(&engine, init, "tty; tty <&2; echo $TERM; ls -l /dev/console /dev/tty | wc -l");
        assert_eq!(screen.exit_code(), 0);
        screen.wait_for("/dev/pts/0\r\n/dev/pts/0\r\nxterm\r\n2\r\n");
    }
    engine.assert_clean();
}

fn the_exit_code_is_the_programs(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(Screen::run(&engine, &["-it"], "exit 7").exit_code(), 7);
    assert_eq!(Screen::run(&engine, &["-it", "--init"], "kill -KILL $$").exit_code(), 137);
    let mut screen = Screen::open(engine.command(&["run", "--rm", "-it", "box", "no-such-program"]));
    assert_eq!(screen.exit_code(), 127);
    screen.wait_for("was not found in the root file system");
    engine.assert_clean();
}

/// The program gets SIGINT from its own terminal; `tara` does not, and passes nothing on twice.
fn ctrl_c_reaches_the_program(host: &Host) {
    let engine = Engine::with_box(host);
    for options in [&["-it"][..], &["-it", "--init"]] {
        let script = "trap 'echo caught; n=x$n' INT; echo ready; while [ ${#n} -lt 2 ]; do sleep 0.01; done; exit 9";
        let mut screen = Screen::run(&engine, options, script);
        screen.wait_for("ready");
        screen.type_in(b"\x03");
        screen.wait_for("caught");
        assert_eq!(screen.tara.try_wait().unwrap(), None);
        screen.type_in(b"\x03");
        assert_eq!(screen.exit_code(), 9, "{}", screen.text());
        until("both are shown", || (screen.text().matches("caught").count() == 2).then_some(()));
    }
    engine.assert_clean();
}

/// Says the size of its terminal, and each new one, until it is interrupted.
const SIZES: &str = "trap 'stty size' WINCH; stty size; while :; do sleep 0.01; done";

/// Gives the terminal another size until the program has said it.
fn enlarge_and_interrupt(screen: &mut Screen) {
    screen.wait_for("33 77\r\n");
    sys::terminal::set_size(&screen.master, &size(44, 111)).unwrap();
    // It is not `tara`'s controlling terminal, so the kernel does not tell it.
    let tara = nix::unistd::Pid::from_raw(screen.tara.id().try_into().unwrap());
    nix::sys::signal::kill(tara, nix::sys::signal::Signal::SIGWINCH).unwrap();
    screen.wait_for("44 111\r\n");
    screen.type_in(b"\x03");
    assert_eq!(screen.exit_code(), 130);
}

/// Both sizes are events too, as docker's.
fn the_size_is_ours_and_follows_ours(host: &Host) {
    let engine = Engine::with_box(host);
    let mut screen = Screen::run(&engine, &["-it"], SIZES);
    enlarge_and_interrupt(&mut screen);
    let attributes = "{{.Action}} {{.Actor.Attributes.height}} {{.Actor.Attributes.width}}";
    let since = ["events", "--since", "1h", "--until", "0s", "-f", "event=resize", "--format", attributes];
    assert_eq!(engine.tara(&since).ok(), "resize 33 77\nresize 44 111\n");
    engine.assert_clean();
}

fn an_added_programs_size_is_ours_and_follows_ours(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "-d", "--name", "web", "box", "sleep", "1000"]).ok();
    let mut screen = Screen::open(engine.command(&["exec", "-it", "web", "sh", "-c", SIZES]));
    enlarge_and_interrupt(&mut screen);
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn a_megabyte_of_output_arrives_whole(host: &Host) {
    let engine = Engine::with_box(host);
    let mut screen = Screen::run(&engine, &["-it"], "stty -opost; head -c 1000000 /dev/zero | tr '\\0' x; printf end");
    assert_eq!(screen.exit_code(), 0);
    screen.wait_for("end");
    let text = screen.text();
    assert_eq!((text.len(), text.matches('x').count()), (1_000_003, 1_000_000));
}

/// The program answers each byte: neither side may wait for the other with a full terminal.
fn a_megabyte_typed_at_once_does_not_block(host: &Host) {
    let engine = Engine::with_box(host);
    let mut screen = Screen::run(&engine, &["-it"], "stty raw -echo; printf ready; head -c 1000000; printf end");
    screen.wait_for("ready");
    screen.type_in(&vec![b'x'; 1_000_000]);
    assert_eq!(screen.exit_code(), 0);
    screen.wait_for("end");
    assert_eq!(screen.text().matches('x').count(), 1_000_000);
}

fn is_raw(mode: &Termios) -> bool {
    !mode.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
}

fn the_terminal_is_sane_again(host: &Host) {
    let engine = Engine::with_box(host);
    let mut screen = Screen::run(&engine, &["-it"], "echo ready; read line; exit 3");
    screen.wait_for("ready");
    assert!(is_raw(&screen.mode()));
    screen.type_in(b"\r");
    assert_eq!(screen.exit_code(), 3);
    assert!(!is_raw(&screen.mode()));
    let mut screen = Screen::open(engine.command(&["run", "--rm", "-it", "box", "no-such-program"]));
    assert_eq!(screen.exit_code(), 127);
    assert!(!is_raw(&screen.mode()));
}

fn the_terminal_is_sane_after_a_kill(host: &Host) {
    let engine = Engine::with_box(host);
    for end in [&["rm", "-f", "web"][..], &[]] {
        let mut screen = Screen::run(&engine, &["-it", "--name", "web"], "echo ready; trap : TERM; sleep 1000");
        screen.wait_for("ready");
        assert!(is_raw(&screen.mode()));
        if end.is_empty() {
            let list = engine.tara(&["inspect", "web"]).ok();
            let list: serde_json::Value = serde_json::from_str(&list).unwrap();
            let pid = i32::try_from(list[0]["State"]["Pid"].as_i64().unwrap()).unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        } else {
            engine.tara(end).ok();
        }
        assert_eq!(screen.exit_code(), 137, "{}", screen.text());
        assert!(!is_raw(&screen.mode()));
    }
    engine.assert_clean();
}

fn a_terminal_without_input(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.run(&["-t"], &["sh", "-c", "tty; echo done"]);
    assert_eq!((output.code, output.stdout.as_str()), (0, "/dev/pts/0\r\ndone\r\n"), "{}", output.stderr);
    // What is typed is not for the program, and our terminal stays as it is.
    let mut screen = Screen::run(&engine, &["-t"], "stty size; echo ready; sleep 0.1");
    screen.wait_for("33 77\r");
    screen.wait_for("ready\r");
    assert!(!is_raw(&screen.mode()));
    assert_eq!(screen.exit_code(), 0);
}

fn input_that_is_no_terminal_is_refused(host: &Host) {
    let output = Engine::with_box(host).run(&["-it"], &["true"]);
    assert_eq!(error(&output), (1, "error: the input device is not a terminal"));
}

/// tmux with one window, on a server of its own.
struct Tmux<'h> {
    host: &'h Host,
}

impl<'h> Tmux<'h> {
    fn start(host: &'h Host) -> Self {
        let tmux = Self { host };
        let shell = "env PS1='outside> ' /bin/sh";
        tmux.call(&["-f", "/dev/null", "new-session", "-d", "-s", "s", "-x", "100", "-y", "30", shell]);
        tmux.wait_for("outside>");
        tmux
    }

    fn call(&self, arguments: &[&str]) -> String {
        let mut command = self.host.command("/usr/bin/tmux");
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").arg("-S").arg(self.host.path("tmux")).args(arguments);
        self.host.run(&mut command).ok()
    }

    /// What is on the screen, without the empty rest of its lines.
    fn screen(&self) -> String {
        self.call(&["capture-pane", "-p", "-t", "s"]).lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    fn wait_for(&self, words: &str) {
        let begin = std::time::Instant::now();
        while !self.screen().contains(words) {
            assert!(begin.elapsed() < testkit::DEADLINE, "in vain: {words}\n{}", self.screen());
            std::thread::yield_now();
        }
    }

    fn keys(&self, keys: &[&str]) {
        self.call(&[&["send-keys", "-t", "s"], keys].concat());
    }

    fn line(&self, text: &str) {
        self.keys(&[text, "Enter"]);
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.call(&["kill-server"]);
    }
}

fn a_person_at_a_terminal(host: &Host) {
    let engine = Engine::with_box(host);
    let tmux = Tmux::start(host);
    let run = format!("{TARA} --root {} --run-root {}", engine.root().display(), engine.run_root().display());
    tmux.line(&format!("clear; {run} run --rm -it --name web -e PS1='inside> ' box sh"));
    tmux.wait_for("\ninside>");
    tmux.line("clear; tty");
    tmux.wait_for("/dev/pts/0\ninside>");
    // Line editing: the shell inside gets every key as it is, and so its arrow keys.
    tmux.keys(&["echo wrng", "Left", "Left", "o", "Enter"]);
    tmux.wait_for("\nwrong\ninside>");
    tmux.line("sh -c 'echo asleep; sleep 1000'");
    tmux.wait_for("\nasleep\n");
    tmux.keys(&["C-c"]);
    tmux.line("echo code $?");
    tmux.wait_for("\ncode 130\ninside>");
    tmux.line("stty size");
    tmux.wait_for("\n30 100\n");
    tmux.call(&["resize-window", "-t", "s", "-x", "120", "-y", "25"]);
    until("the window's new size", || {
        tmux.line("clear; stty size");
        tmux.screen().contains("25 120\n").then_some(())
    });
    tmux.line("exit 5");
    tmux.wait_for("\noutside>");
    tmux.line("code=$?; clear; echo code $code; stty -a | grep -wo -e icanon -e echo -e isig | tr '\\n' ' '");
    tmux.wait_for("code 5\nisig icanon echo outside>");
    engine.assert_clean();
}

/// Must show 6: ctrl-p ctrl-q leaves the program running, `attach` comes back, and a killed container leaves the terminal sane.
fn a_person_detaches_and_comes_back(host: &Host) {
    let engine = Engine::with_box(host);
    let tmux = Tmux::start(host);
    let tara = format!("{TARA} --root {} --run-root {}", engine.root().display(), engine.run_root().display());
    tmux.line(&format!("clear; {tara} run -it --name web -e PS1='inside> ' box sh"));
    tmux.wait_for("\ninside>");
    tmux.line("mark=kept; clear");
    tmux.keys(&["C-p", "C-q"]);
    tmux.wait_for("the container runs on\noutside>");
    tmux.line(&format!("clear; {tara} attach web"));
    tmux.line("echo $mark; stty size");
    tmux.wait_for("\nkept\n30 100\n");
    tmux.call(&["resize-window", "-t", "s", "-x", "120", "-y", "25"]);
    until("the window's new size", || {
        tmux.line("clear; stty size");
        tmux.screen().contains("25 120\n").then_some(())
    });
    engine.tara(&["kill", "web"]).ok();
    tmux.wait_for("outside>");
    tmux.line("code=$?; clear; echo code $code; stty -a | grep -wo -e icanon -e echo -e isig | tr '\\n' ' '");
    tmux.wait_for("code 137\nisig icanon echo outside>");
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn keys_detach_from_a_pty(host: &Host) {
    let engine = Engine::with_box(host);
    let options = ["-it", "--name", "web", "--detach-keys", "a,ctrl-b"];
    let mut screen = Screen::run(&engine, &options, "echo ready; cat");
    screen.wait_for("ready");
    screen.type_in(b"xay\r");
    // What began like the sequence and was not is the program's.
    screen.wait_for("xay\r\nxay");
    screen.type_in(b"a\x02");
    assert_eq!(screen.exit_code(), 0, "{}", screen.text());
    assert!(!is_raw(&screen.mode()));
    let mut again = Screen::open(engine.command(&["attach", "web"]));
    until("it is attached", || is_raw(&again.mode()).then_some(()));
    again.type_in(b"hello\r\x04");
    again.wait_for("hello\r\nhello\r\n");
    assert_eq!(again.exit_code(), 0, "{}", again.text());
    engine.assert_clean();
}

/// The container has a monitor of its own.
fn a_killed_run_leaves_the_container(host: &Host) {
    let engine = Engine::with_box(host);
    let mut screen = Screen::run(&engine, &["-it", "--name", "web"], "echo ready; cat");
    screen.wait_for("ready");
    screen.tara.kill().unwrap();
    screen.tara.wait().unwrap();
    assert!(engine.tara(&["ps"]).ok().contains("   Up "));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

/// How many programs run in the container `web`, its first one and who asks left out.
fn added(engine: &Engine<'_>) -> usize {
    engine.tara(&["top", "web", "-o", "comm"]).ok().lines().filter(|line| line.trim() == "cat").count()
}

fn keys_leave_a_program_that_was_added(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "-d", "--name", "web", "box", "sleep", "1000"]).ok();
    let script = "echo ready; cat > /typed; echo over >> /typed; yes | head -c 1000000; echo out >> /typed";
    for (keys, bytes) in [(&[][..], &b"\x10\x11"[..]), (&["--detach-keys", "a,ctrl-b"], b"a\x02")] {
        let exec = [&["exec", "-it"], keys, &["web", "sh", "-c", script]].concat();
        let mut screen = Screen::open(engine.command(&exec));
        screen.wait_for("ready");
        screen.type_in(b"hello\r");
        screen.wait_for("hello");
        screen.type_in(bytes);
        assert_eq!(screen.exit_code(), 0, "{}", screen.text());
        assert!(screen.text().contains("detached; the program runs on") && !is_raw(&screen.mode()));
        assert_eq!(added(&engine), 1, "it runs on");
        // It was not hung up on, and what it writes is taken from it though nobody reads.
        engine.tara(&["exec", "web", "killall", "cat"]).ok();
        until("it has gone on to its end", || {
            let typed = engine.tara(&["exec", "web", "cat", "/typed"]).ok();
            (typed == "hello\nover\nout\n").then_some(())
        });
    }
    let refused = engine.tara(&["exec", "--detach-keys", "ctrl-P", "web", "true"]);
    assert_eq!(error(&refused), (125, "error: `ctrl-P` is no sequence of keys"));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

/// Nobody has detached: to kill `tara` hangs up.
fn an_added_program_ends_with_its_terminal(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "-d", "--name", "web", "box", "sleep", "1000"]).ok();
    let mut screen = Screen::open(engine.command(&["exec", "-it", "web", "sh", "-c", "echo ready; cat"]));
    screen.wait_for("ready");
    assert_eq!(added(&engine), 1);
    screen.tara.kill().unwrap();
    screen.tara.wait().unwrap();
    until("it ends", || (added(&engine) == 0).then_some(()));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}
