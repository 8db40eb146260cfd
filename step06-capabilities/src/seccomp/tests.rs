#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::interpreter::{Call, run};
use super::rules::{Condition, Table, Test, tables};
use super::{Filter, Profile, tree};
use crate::{Capabilities, Capability, Error};
use sys::arch::ABIS;
use sys::seccomp::answer::{ALLOW, ERRNO, KILL_PROCESS, LOG, TRACE, TRAP};

const EPERM: u32 = ERRNO | 1;
const ENOSYS: u32 = ERRNO | 38;

fn holds(condition: &Condition, arguments: [u64; 6]) -> bool {
    let argument = arguments[usize::from(condition.argument)];
    match &condition.test {
        Test::OneOf(values) => values.contains(&argument),
        Test::Not(value) => argument != *value,
        Test::Above(value) => argument > *value,
        Test::NotAbove(value) => argument <= *value,
        Test::AtLeast(value) => argument >= *value,
        Test::Below(value) => argument < *value,
        Test::Masked { mask, value } => argument & mask == *value,
    }
}

/// The rules taken at their word, one after the other.
fn naive(tables: &[Table], call: &Call) -> u32 {
    let candidates: Vec<&Table> = tables.iter().filter(|table| table.abi.audit == call.architecture).collect();
    if candidates.is_empty() {
        return KILL_PROCESS;
    }
    let flag = call.number & 0x4000_0000 != 0 || call.number >= 0x8000_0000;
    let Some(table) = candidates.into_iter().find(|table| (table.abi.first != 0) == flag) else {
        return ENOSYS;
    };
    if let Ok(index) = table.calls.binary_search_by_key(&call.number, |(number, _)| *number) {
        let behaviour = &table.calls[index].1;
        let decides = behaviour.rules.iter().find(|rule| rule.conditions.iter().all(|one| holds(one, call.arguments)));
        return decides.map_or(behaviour.otherwise, |rule| rule.answer);
    }
    let last = table.calls.last().map_or(0, |(number, _)| number + 1);
    if call.number >= last { table.newer.otherwise } else { table.default.otherwise }
}

/// xorshift64*: a test has to fail again when it is run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A value that conditions are likely to care about, or none of them.
    fn argument(&mut self, seen: &[u64]) -> u64 {
        let near = seen.get(usize::try_from(self.next()).unwrap() % seen.len().max(1)).copied().unwrap_or_default();
        match self.next() % 6 {
            0 => near,
            1 => near.wrapping_add(1),
            2 => near.wrapping_sub(1),
            3 => near ^ 1 << (self.next() % 64),
            4 => near.rotate_left(32),
            _ => self.next(),
        }
    }
}

fn compare(profile: &Profile, capabilities: Capabilities, seed: u64) {
    let tables = tables(profile, capabilities).unwrap();
    let program = tree::compile(&tables);
    let values: Vec<u64> = profile
        .syscalls
        .iter()
        .flatten()
        .flat_map(|entry| entry.args.iter().flatten())
        .flat_map(|argument| [argument.value, argument.value_two])
        .collect();
    let mut random = Random(seed);
    let architectures = ABIS.iter().map(|abi| abi.audit).chain([0, 0x1234_5678]);
    for architecture in architectures {
        let small = (0..1100).chain([u32::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe]);
        let x32 = (0..1100).map(|number| number | 0x4000_0000);
        for number in small.chain(x32) {
            for _ in 0..4 {
                let arguments = std::array::from_fn(|_| random.argument(&values));
                let call = Call { number, architecture, arguments };
                assert_eq!(run(&program, &call), naive(&tables, &call), "{call:x?}");
            }
        }
    }
}

#[test]
fn the_tree_says_what_the_default_profile_says() {
    for capabilities in [Capabilities::NONE, Capabilities::docker(), Capabilities::of_kernel().unwrap()] {
        compare(&Profile::standard().unwrap(), capabilities, 1);
    }
}

#[test]
fn the_tree_says_what_random_profiles_say() {
    for seed in 1..40 {
        compare(&random_profile(seed), Capabilities::docker(), seed);
    }
}

/// Any actions, any operators, the same call several times, all ways into the kernel.
fn random_profile(seed: u64) -> Profile {
    const ACTIONS: [&str; 8] = ["KILL", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"];
    const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let mut random = Random(seed);
    let names: Vec<&str> = ABIS[0].names().collect();
    let mut pick = move |count: usize| usize::try_from(random.next()).unwrap() % count;
    let mut entries = Vec::new();
    for _ in 0..pick(400) + 5 {
        let mut args = Vec::new();
        for _ in 0..pick(4) {
            let value = [0, 1, 40, 0xffff_ffff, 0x1_0000_0000, u64::MAX, 0x7e02_0000][pick(7)];
            let (index, op, two) = (pick(6), OPERATORS[pick(7)], [0, value][pick(2)]);
            args.push(format!(r#"{{"index":{index},"value":{value},"valueTwo":{two},"op":"SCMP_CMP_{op}"}}"#));
        }
        let (name, action, errno) = (names[pick(names.len())], ACTIONS[pick(8)], pick(4000));
        let args = args.join(",");
        entries
            .push(format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_{action}","errnoRet":{errno},"args":[{args}]}}"#));
    }
    let architectures: Vec<String> = ABIS.iter().map(|abi| format!("\"{}\"", abi.name)).collect();
    let architectures = architectures[..pick(architectures.len() + 1)].join(",");
    let (default, entries) = (ACTIONS[pick(8)], entries.join(","));
    let text =
        format!(r#"{{"defaultAction":"SCMP_ACT_{default}","architectures":[{architectures}],"syscalls":[{entries}]}}"#);
    Profile::parse(&text).unwrap()
}

/// What a profile answers to one call of the native ABI.
fn ask(profile: &Profile, capabilities: Capabilities, name: &str, arguments: &[u64]) -> u32 {
    let native = &ABIS[0];
    ask_number(profile, capabilities, native.audit, native.number(name).unwrap(), arguments)
}

fn ask_number(profile: &Profile, capabilities: Capabilities, architecture: u32, number: u32, first: &[u64]) -> u32 {
    let mut arguments = [0; 6];
    arguments[..first.len()].copy_from_slice(first);
    let filter = Filter::compile(profile, capabilities).unwrap();
    run(filter.program(), &Call { number, architecture, arguments })
}

fn rule(text: &str) -> Profile {
    Profile::parse(&format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{text}]}}"#)).unwrap()
}

#[test]
fn capabilities_open_their_calls() {
    let (standard, docker) = (Profile::standard().unwrap(), Capabilities::docker());
    let with = |name: &str| docker | [Capability::by_name(name).unwrap()].into_iter().collect();
    for (name, capability) in [
        ("mount", "SYS_ADMIN"),
        ("bpf", "BPF"),
        ("syslog", "SYSLOG"),
        ("reboot", "SYS_BOOT"),
        ("open_by_handle_at", "DAC_READ_SEARCH"),
        ("clock_settime", "SYS_TIME"),
        ("init_module", "SYS_MODULE"),
        ("acct", "SYS_PACCT"),
        ("mbind", "SYS_NICE"),
        ("kcmp", "SYS_PTRACE"),
    ] {
        assert_eq!(ask(&standard, docker, name, &[]), EPERM, "{name}");
        assert_eq!(ask(&standard, with(capability), name, &[]), ALLOW, "{name}");
    }
    assert_eq!(ask(&standard, docker, "chroot", &[]), ALLOW);
    assert_eq!(ask(&standard, Capabilities::NONE, "chroot", &[]), EPERM);
}

#[test]
fn no_new_namespaces_without_their_capability() {
    let (standard, docker) = (Profile::standard().unwrap(), Capabilities::docker());
    let admin = Capabilities::of_kernel().unwrap();
    assert_eq!(ask(&standard, docker, "clone", &[0x11]), ALLOW);
    for namespace in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(ask(&standard, docker, "clone", &[0x11 | namespace]), EPERM);
        assert_eq!(ask(&standard, admin, "clone", &[0x11 | namespace]), ALLOW);
    }
    // A filter cannot look behind clone3's pointer; at ENOSYS glibc takes clone.
    assert_eq!(ask(&standard, docker, "clone3", &[]), ENOSYS);
    assert_eq!(ask(&standard, admin, "clone3", &[]), ALLOW);
}

#[test]
fn sockets_and_personalities_are_those_of_docker() {
    let (standard, docker) = (Profile::standard().unwrap(), Capabilities::docker());
    for (family, expected) in [(1, ALLOW), (2, ALLOW), (16, ALLOW), (38, EPERM), (39, ALLOW), (40, EPERM), (41, ALLOW)]
    {
        assert_eq!(ask(&standard, docker, "socket", &[family]), expected, "{family}");
    }
    for (value, expected) in
        [(0, ALLOW), (8, ALLOW), (0x20008, ALLOW), (0xffff_ffff, ALLOW), (4, EPERM), (0x4_0000, EPERM)]
    {
        assert_eq!(ask(&standard, docker, "personality", &[value]), expected, "{value:#x}");
    }
    assert_eq!(ask(&standard, docker, "personality", &[1 << 32]), EPERM, "all 64 bits count");
}

#[test]
fn the_other_entries_are_closed_like_the_first() {
    let (standard, docker) = (Profile::standard().unwrap(), Capabilities::docker());
    let Some(older) = ABIS.iter().find(|abi| abi.audit != ABIS[0].audit) else { return };
    let older_call = |name| ask_number(&standard, docker, older.audit, older.number(name).unwrap(), &[]);
    for name in ["mount", "umount2", "setns", "unshare", "bpf", "keyctl", "ptrace", "getpid"] {
        assert_eq!(older_call(name), ask(&standard, docker, name, &[]), "{name}");
    }
    for x32 in ABIS.iter().filter(|abi| abi.first != 0) {
        for name in ["mount", "getpid", "ptrace", "clone"] {
            let number = x32.number(name).unwrap();
            assert_eq!(ask_number(&standard, docker, x32.audit, number, &[]), ENOSYS, "{name}");
        }
    }
    assert_eq!(ask_number(&standard, docker, 0xc000_00f3, 1, &[]), KILL_PROCESS, "another processor");
}

#[test]
fn a_list_of_what_is_denied_closes_the_other_entries() {
    let deny = Profile::parse(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    let deny = deny.unwrap();
    assert_eq!(ask(&deny, Capabilities::NONE, "getpid", &[]), ALLOW);
    assert_eq!(ask(&deny, Capabilities::NONE, "mount", &[]), EPERM);
    for other in ABIS.iter().skip(1) {
        let expected = if other.audit == ABIS[0].audit { ENOSYS } else { KILL_PROCESS };
        let number = other.number("mount").unwrap();
        assert_eq!(ask_number(&deny, Capabilities::NONE, other.audit, number, &[]), expected, "{}", other.name);
    }
}

#[test]
fn calls_newer_than_the_profile_are_not_there() {
    let allow_read = rule(r#"{"names":["read","getpid"],"action":"SCMP_ACT_ALLOW"}"#);
    let native = &ABIS[0];
    let last = native.number("read").max(native.number("getpid")).unwrap();
    let number = |number| ask_number(&allow_read, Capabilities::NONE, native.audit, number, &[]);
    assert_eq!((number(last), number(last - 1), number(last + 1), number(100_000)), (ALLOW, EPERM, ENOSYS, ENOSYS));
    assert_eq!(number(u32::MAX), ENOSYS);
}

#[test]
fn a_rule_without_conditions_counts_wherever_it_stands() {
    let denied_first = rule(
        r#"{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":97,"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
           {"names":["socket"],"action":"SCMP_ACT_ALLOW"}, {"names":["socket"],"action":"SCMP_ACT_KILL"}"#,
    );
    assert_eq!(ask(&denied_first, Capabilities::NONE, "socket", &[1]), ALLOW);
}

#[test]
fn conditions_on_one_argument_are_alternatives() {
    let two = rule(
        r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":5,"op":"SCMP_CMP_GT"}]}"#,
    );
    let answers = [0, 1, 2, 5, 6].map(|family| ask(&two, Capabilities::NONE, "socket", &[family]));
    assert_eq!(answers, [EPERM, ALLOW, EPERM, EPERM, ALLOW]);
    let both = rule(
        r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":5,"op":"SCMP_CMP_GT"}]}"#,
    );
    let answers = [[1, 6], [1, 5], [2, 6]].map(|arguments| ask(&both, Capabilities::NONE, "socket", &arguments));
    assert_eq!(answers, [ALLOW, EPERM, EPERM]);
}

#[test]
fn every_action_is_the_kernels() {
    let actions = [("TRAP", TRAP), ("LOG", LOG), ("KILL_PROCESS", KILL_PROCESS), ("KILL", 0), ("TRACE", TRACE | 7)];
    for (action, expected) in actions {
        let profile = rule(&format!(r#"{{"name":"getpid","action":"SCMP_ACT_{action}","errnoRet":7}}"#));
        assert_eq!(ask(&profile, Capabilities::NONE, "getpid", &[]), expected, "{action}");
    }
}

#[test]
fn entries_count_for_their_kernel_and_processor() {
    let entry = |filter: &str| {
        let profile = rule(&format!(r#"{{"names":["getpid"],"action":"SCMP_ACT_ALLOW",{filter}}}"#));
        ask(&profile, Capabilities::docker(), "getpid", &[])
    };
    let here = sys::arch::OCI_ARCHITECTURE;
    assert_eq!(entry(r#""includes":{"minKernel":"4.8"}"#), ALLOW);
    assert_eq!(entry(r#""includes":{"minKernel":"99.0"}"#), EPERM);
    assert_eq!(entry(r#""excludes":{"minKernel":"4.8"}"#), EPERM);
    assert_eq!(entry(r#""includes":{"arches":["s390x"]}"#), EPERM);
    assert_eq!(entry(&format!(r#""includes":{{"arches":["s390x","{here}"]}}"#)), ALLOW);
    assert_eq!(entry(r#""includes":{"caps":["CAP_CHOWN","CAP_BPF"]}"#), EPERM);
    assert_eq!(entry(r#""excludes":{"caps":["CAP_CHOWN","CAP_BPF"]}"#), EPERM);
    assert_eq!(entry(r#""includes":{},"excludes":{"arches":[],"caps":null}"#), ALLOW);
}

#[test]
fn a_wrong_profile_is_refused_at_its_place() {
    let cases = [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{}", "missing field `defaultAction` at line 1 column 2"),
        ("{\n\"defaultAction\": \"SCMP_ACT_NO\"}", "unknown variant `SCMP_ACT_NO`"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG"},
               {"names":["a"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
            "`syscalls[1]`: `args[0].index`: 6, and a call has arguments 0 to 5",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"name":"b","action":"SCMP_ACT_LOG"}]}"#,
            "`syscalls[0]`: `name` and `names` are both there",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#,
            "`defaultErrnoRet`: 5000 is no errno, they end at 4095",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[]}"#,
            "`architectures` and `archMap` are both there",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/run/x"}"#,
            "`listenerPath`: a listener for SCMP_ACT_NOTIFY is not supported",
        ),
    ];
    for (text, expected) in cases {
        let error = Profile::parse(text).unwrap_err();
        assert!(matches!(error, Error::Profile { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = Profile::read(std::path::Path::new("/no/such/file")).unwrap_err();
    assert!(error.to_string().starts_with("seccomp profile `/no/such/file`: No such file"), "{error}");
}

#[test]
fn the_default_filter_stays_small() {
    let filter = Filter::compile(&Profile::standard().unwrap(), Capabilities::docker()).unwrap();
    println!("{filter:?}");
    assert!(filter.program().len() < 400, "{filter:?}");
}
