//! One behaviour's surroundings: a runtime, a bundle, and the ways to call the one on the other.

use crate::bundle::{config, merge};
use crate::runtime::Runtime;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::{Facts, Host, Output, until};

/// A container that may come to be, of one runtime.
pub(crate) struct Case<'h> {
    pub(crate) host: &'h Host,
    pub(crate) runtime: Runtime,
    pub(crate) id: String,
    config: RefCell<Value>,
    calls: Cell<u32>,
}

impl<'h> Case<'h> {
    pub(crate) fn new(host: &'h Host, runtime: Runtime) -> Self {
        let root = host.busybox_root("bundle/rootfs");
        host.add_probe(&root);
        // A cgroup with no path is named after the id, on the real host: nobody else has this one.
        let parent = host.cgroup_parent();
        let id = parent.trim_start_matches('/').to_owned();
        let case = Self { host, runtime, config: RefCell::new(config(&parent, "c")), id, calls: Cell::new(0) };
        case.configure(json!({}));
        case
    }

    /// The bundle's folder.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.host.path("bundle")
    }

    /// A path of the root file system, from outside.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        self.bundle().join("rootfs").join(path.trim_start_matches('/'))
    }

    /// Changes `config.json` (RFC 7386: null removes, lists are replaced).
    pub(crate) fn configure(&self, patch: Value) {
        merge(&mut self.config.borrow_mut(), patch);
        let text = serde_json::to_string_pretty(&*self.config.borrow()).unwrap();
        fs::write(self.bundle().join("config.json"), text).unwrap();
    }

    /// One more mount, after the others.
    pub(crate) fn mount(&self, mount: Value) {
        let mut mounts = self.config.borrow()["mounts"].clone();
        mounts.as_array_mut().unwrap().push(mount);
        self.configure(json!({"mounts": mounts}));
    }

    /// The program of the container.
    pub(crate) fn program(&self, args: &[&str]) {
        self.configure(json!({"process": {"args": args}}));
    }

    /// A command of the runtime on its way, for tests that change more than the words.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.runtime.command(self.host);
        command.args(words).current_dir(self.bundle());
        command
    }

    /// Calls the runtime.
    pub(crate) fn call(&self, words: &[&str]) -> Output {
        self.finish(&mut self.command(words))
    }

    /// Runs a command to its end. What it prints goes to files: a container that stays holds no pipe open.
    pub(crate) fn finish(&self, command: &mut Command) -> Output {
        let (out, err) = (self.output_file("out"), self.output_file("err"));
        self.calls.set(self.calls.get() + 1);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let status = child.wait().unwrap();
        Output {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&fs::read(out).unwrap()).into_owned(),
            stderr: String::from_utf8_lossy(&fs::read(err).unwrap()).into_owned(),
        }
    }

    fn output_file(&self, stream: &str) -> PathBuf {
        self.host.path(&format!("call-{}.{stream}", self.calls.get()))
    }

    /// `run` of the bundle as it is.
    pub(crate) fn run(&self) -> Output {
        self.call(&["run", &self.id])
    }

    /// What a shell script prints that is the container's program and ends well.
    pub(crate) fn shell(&self, script: &str) -> String {
        self.program(&["sh", "-c", script]);
        self.run().ok()
    }

    /// What the probe sees as the container's program.
    pub(crate) fn facts(&self) -> Facts {
        self.program(&["probe", "facts"]);
        self.run().facts()
    }

    /// `create`, which has to go well.
    pub(crate) fn create(&self) {
        self.call(&["create", &self.id]).ok();
    }

    /// `start`, which has to go well.
    pub(crate) fn start(&self) {
        self.call(&["start", &self.id]).ok();
    }

    /// A container that runs until it is killed.
    pub(crate) fn running(&self) {
        self.program(&["sleep", "1000"]);
        self.create();
        self.start();
    }

    /// A container that has ended.
    pub(crate) fn stopped(&self) {
        self.program(&["true"]);
        self.create();
        self.start();
        self.wait_for("stopped");
    }

    /// `state`, parsed.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id]).ok()).unwrap()
    }

    /// The pid of the container's first process.
    pub(crate) fn pid(&self) -> u64 {
        self.state()["pid"].as_u64().unwrap()
    }

    /// Waits until `state` says so.
    pub(crate) fn wait_for(&self, status: &str) {
        until(status, || (self.state()["status"] == status).then_some(()));
    }

    /// What a program says that is executed in the running container.
    pub(crate) fn exec(&self, words: &[&str]) -> Output {
        self.call(&[&["exec", &self.id], words].concat())
    }

    /// The container is unknown and has no folder.
    pub(crate) fn assert_gone(&self) {
        assert_ne!(self.call(&["state", &self.id]).code, 0, "the container is still known");
        assert!(!self.host.path("runtime-root").join(&self.id).exists(), "its folder is still there");
    }

    /// `create` says no: exit code 1 and, from tara, the field's name; nothing is left.
    pub(crate) fn assert_refused(&self, field: &str) {
        let refused = self.call(&["create", &self.id]);
        assert_ne!(refused.code, 0, "create went well");
        assert!(!refused.stderr.is_empty(), "create says nothing");
        self.assert_gone();
        if self.runtime.is_tara() {
            assert_eq!(refused.code, 1, "{}", refused.stderr);
            assert!(refused.stderr.contains(field), "`{field}` is not named in: {}", refused.stderr);
        }
    }

    /// A file of the container's cgroup v1.
    pub(crate) fn cgroup(&self, controller: &str, file: &str) -> String {
        let path = Path::new("/sys/fs/cgroup").join(controller).join(&self.host.cgroup_parent()[1..]).join("c");
        fs::read_to_string(path.join(file)).unwrap_or_else(|error| panic!("{}/{file}: {error}", path.display()))
    }
}

impl Drop for Case<'_> {
    /// Nothing may be left; parents of cgroups stay by custom, because others may use them.
    fn drop(&mut self) {
        self.call(&["delete", "--force", &self.id]);
        for tree in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _was_never_made = fs::remove_dir(tree.path().join(&self.host.cgroup_parent()[1..]));
        }
    }
}
