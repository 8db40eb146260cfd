//! `process.terminal`: the pty goes to whoever listens at `--console-socket`.

use crate::{Behaviour, Case, behaviour};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

/// Takes one connection: the text of its first message, and the descriptors that came with it.
pub(crate) fn receive(listener: &UnixListener) -> (Vec<u8>, Vec<OwnedFd>) {
    let (stream, _) = listener.accept().unwrap();
    let mut text = vec![0; 64 * 1024];
    let (length, descriptors) = sys::fd::receive::<4>(&stream, &mut text).unwrap();
    text.truncate(length);
    (text, descriptors)
}

/// Calls the runtime with `--console-socket` after the command's name; the terminal that it sends.
pub(crate) fn with_console(case: &Case<'_>, words: &[&str]) -> File {
    let path = case.host.path("console");
    let _from_an_earlier_call = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let receiver = std::thread::spawn(move || receive(&listener));
    case.call(&[&[words[0], "--console-socket", path.to_str().unwrap()], &words[1..]].concat()).ok();
    let (_, mut descriptors) = receiver.join().unwrap();
    assert_eq!(descriptors.len(), 1);
    File::from(descriptors.remove(0))
}

/// All that is shown until the last program at the terminal ends (EIO).
pub(crate) fn shown(mut terminal: File) -> String {
    let mut bytes = Vec::new();
    let _ended = terminal.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a script shows on a terminal of its own.
fn on_terminal(name: &str, patch: Value, script: &'static str, expected: &'static str) -> Behaviour {
    behaviour(name, move |case| {
        case.configure(json!({"process": {"terminal": true}}));
        case.configure(patch.clone());
        case.program(&["sh", "-c", script]);
        let terminal = with_console(case, &["create", &case.id]);
        case.start();
        assert_eq!(shown(terminal), expected);
    })
}

pub(crate) fn all() -> Vec<Behaviour> {
    vec![
        on_terminal(
            "the_streams_are_the_terminal",
            json!({}),
            "test -t 0 && test -t 1 && test -t 2 && echo yes",
            "yes\r\n",
        ),
        on_terminal("the_terminal_is_one_of_the_containers_own", json!({}), "tty", "/dev/pts/0\r\n"),
        on_terminal("the_terminal_controls_the_session", json!({}), "echo x > /dev/tty", "x\r\n"),
        on_terminal("dev_console_is_the_terminal", json!({}), "echo x > /dev/console", "x\r\n"),
        on_terminal(
            "console_size",
            json!({"process": {"consoleSize": {"height": 33, "width": 77}}}),
            "stty size",
            "33 77\r\n",
        ),
        behaviour("a_terminal_without_a_console_socket_is_an_error_for_create", |case| {
            case.configure(json!({"process": {"terminal": true}}));
            assert_ne!(case.call(&["create", &case.id]).code, 0);
            case.assert_gone();
        }),
        behaviour("a_console_socket_that_is_missing_is_an_error", |case| {
            case.configure(json!({"process": {"terminal": true}}));
            assert_ne!(case.call(&["create", "--console-socket", "/no/such", &case.id]).code, 0);
            case.assert_gone();
        }),
        behaviour("input_reaches_the_program", |case| {
            case.configure(json!({"process": {"terminal": true}}));
            case.program(&["sh", "-c", "read word; echo got $word"]);
            let terminal = with_console(case, &["create", &case.id]);
            case.start();
            std::io::Write::write_all(&mut &terminal, b"hello\n").unwrap();
            assert!(shown(terminal).ends_with("got hello\r\n"));
        }),
    ]
}
