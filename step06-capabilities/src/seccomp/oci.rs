//! A profile as the OCI runtime specification has it, already read: `linux.seccomp` of a `config.json`.

use super::profile::{Action, Argument, Entry, Flag, Operator, Profile};
use crate::Error;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

impl Profile {
    /// The profile that `seccomp` is; who listens is no part of it. To write it down and read it again would cost more than to
    /// compile it.
    ///
    /// # Errors
    /// [`Error::Profile`], with the entry.
    pub fn of_oci(seccomp: &LinuxSeccomp) -> Result<Self, Error> {
        let refused = |why| Error::Profile { file: None, why };
        let names = seccomp.architectures().as_ref().map(|list| list.iter().map(ToString::to_string).collect());
        let rules = seccomp.syscalls().iter().flatten().enumerate();
        let entry = |(index, rule)| entry(rule).map_err(|why| format!("`syscalls[{index}]`: {why}"));
        let flags = seccomp.flags().as_ref().map(|flags| flags.iter().map(|named| flag(*named)).collect());
        let profile = Self::plain_of(
            (action(seccomp.default_action()), errno(seccomp.default_errno_ret()).map_err(refused)?),
            names,
            flags,
            rules.map(entry).collect::<Result<_, _>>().map_err(refused)?,
        );
        profile.check().map_err(refused)?;
        Ok(profile)
    }
}

fn entry(rule: &LinuxSyscall) -> Result<Entry, String> {
    let arguments = rule.args().as_ref().map(|list| list.iter().map(argument).collect::<Result<_, _>>());
    Ok(Entry::plain(rule.names().clone(), action(rule.action()), errno(rule.errno_ret())?, arguments.transpose()?))
}

fn argument(argument: &LinuxSeccompArg) -> Result<Argument, String> {
    let index = argument.index();
    Ok(Argument {
        index: u8::try_from(index).map_err(|_| format!("{index}, and a call has arguments 0 to 5"))?,
        value: argument.value(),
        value_two: argument.value_two().unwrap_or(0),
        op: match argument.op() {
            LinuxSeccompOperator::ScmpCmpNe => Operator::NotEqual,
            LinuxSeccompOperator::ScmpCmpLt => Operator::Less,
            LinuxSeccompOperator::ScmpCmpLe => Operator::LessOrEqual,
            LinuxSeccompOperator::ScmpCmpEq => Operator::Equal,
            LinuxSeccompOperator::ScmpCmpGe => Operator::GreaterOrEqual,
            LinuxSeccompOperator::ScmpCmpGt => Operator::Greater,
            LinuxSeccompOperator::ScmpCmpMaskedEq => Operator::MaskedEqual,
        },
    })
}

fn action(action: LinuxSeccompAction) -> Action {
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => Action::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActErrno => Action::Errno,
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActTrace => Action::Trace,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    }
}

fn flag(flag: LinuxSeccompFilterFlag) -> Flag {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => Flag::Log,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => Flag::Tsync,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => Flag::SpecAllow,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => Flag::WaitKillable,
    }
}

fn errno(number: Option<u32>) -> Result<Option<u16>, String> {
    number
        .map(|number| u16::try_from(number).map_err(|_| format!("{number} is no errno, they end at 4095")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_profile_that_its_text_is() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 5, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
        let read: LinuxSeccomp = serde_json::from_str(text).unwrap();
        assert_eq!(Profile::of_oci(&read).unwrap(), Profile::parse(text).unwrap());
    }

    #[test]
    fn a_number_that_is_no_errno_is_refused() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 70000}]}"#;
        let error = Profile::of_oci(&serde_json::from_str(text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("`syscalls[0]`: 70000 is no errno"), "{error}");
    }
}
