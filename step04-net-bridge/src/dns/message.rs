//! As much of a DNS message as a forwarder has to understand. Source: RFC 1035, section 4.

use std::net::IpAddr;

/// The header, which every message begins with.
const HEADER: usize = 12;
const INTERNET: u16 = 1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
    /// The name of an address.
    Pointer,
    Other,
}

/// A question that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// In lower case, without the dot at the end.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where it ends in the message.
    end: usize,
}

/// How an answer ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good = 0,
    /// Nobody could be asked.
    Failed = 2,
}

impl Question {
    /// The question of a query; `None` for what is none, or not exactly one.
    // ANCHOR: question
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let is_answer = message.get(2)? & 0x80 != 0;
        let operation = message.get(2)? >> 3 & 0xf;
        if is_answer || operation != 0 || number(message, 4)? != 1 {
            return None;
        }
        let (name, end) = read_name(message, HEADER)?;
        let kind = match (number(message, end)?, number(message, end + 2)?) {
            (1, INTERNET) => Kind::V4,
            (28, INTERNET) => Kind::V6,
            (12, INTERNET) => Kind::Pointer,
            _ => Kind::Other,
        };
        Some(Self { name, kind, end: end + 4 })
    }
    // ANCHOR_END: question

    /// The message that answers `query` with these addresses or names.
    pub(super) fn answer(&self, query: &[u8], outcome: Outcome, answers: &[Answer]) -> Vec<u8> {
        let mut message = query.get(..self.end).unwrap_or_default().to_vec();
        let asked_for_recursion = message[2] & 1;
        message[2] = 0x80 | asked_for_recursion;
        message[3] = 0x80 | outcome as u8;
        let count = u16::try_from(answers.len()).unwrap_or(u16::MAX);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message[8..12].fill(0);
        answers.iter().for_each(|answer| answer.write(&mut message));
        message
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Address(IpAddr),
    Name(String),
}

impl Answer {
    fn write(&self, message: &mut Vec<u8>) {
        /// Containers come and go.
        const SECONDS: u32 = 10;
        /// The name is that of the question, which begins behind the header.
        const SAME_NAME: [u8; 2] = [0xc0, 12];
        let (kind, data): (u16, Vec<u8>) = match self {
            Self::Address(IpAddr::V4(address)) => (1, address.octets().to_vec()),
            Self::Address(IpAddr::V6(address)) => (28, address.octets().to_vec()),
            Self::Name(name) => (12, written(name)),
        };
        let length = u16::try_from(data.len()).expect("a name has 255 bytes at most");
        message.extend(SAME_NAME);
        message.extend(kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message.extend(SECONDS.to_be_bytes());
        message.extend(length.to_be_bytes());
        message.extend(data);
    }
}

/// Whether `answer` answers `query`: the same number and the same question. The socket has seen to the sender.
pub(super) fn answers(query: &[u8], question: &Question, answer: &[u8]) -> bool {
    let same_number = answer.get(..2) == query.get(..2);
    let is_answer = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let same_question = read_name(answer, HEADER).is_some_and(|(name, _)| name == question.name);
    same_number && is_answer && same_question
}

/// Labels, each after its length. Compressed names begin with two set bits and are for answers: in a question they are refused.
fn read_name(message: &[u8], begin: usize) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), begin);
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        let label = message.get(at..at + length).filter(|_| length < 64 && name.len() + length < 254)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        at += length;
    }
}

fn written(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap_or(63)], label.as_bytes()].concat();
    let labels = name.split('.').filter(|label| (1..64).contains(&label.len()));
    labels.flat_map(label).chain([0]).collect()
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// The address that a name below `in-addr.arpa` stands for.
pub(super) fn address_of_pointer(name: &str) -> Option<IpAddr> {
    let reversed: Vec<u8> =
        name.strip_suffix(".in-addr.arpa")?.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [d, c, b, a] = <[u8; 4]>::try_from(reversed).ok()?;
    Some([a, b, c, d].into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::dns) fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(written(name));
        message.extend(kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message
    }

    #[test]
    fn a_question_is_read() {
        let question = Question::read(&query("Web.Example", 28)).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("web.example", Kind::V6));
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let whole = query("web", 1);
        (0..whole.len()).for_each(|length| assert_eq!(Question::read(&whole[..length]), None, "{length}"));
        let mut compressed = whole.clone();
        compressed[12] = 0xc0;
        assert_eq!(Question::read(&compressed), None);
        let mut answer = whole.clone();
        answer[2] |= 0x80;
        assert_eq!(Question::read(&answer), None);
        let mut two = whole;
        two[5] = 2;
        assert_eq!(Question::read(&two), None);
        assert_eq!(Question::read(&query(&["a"; 200].join("."), 1)), None);
    }

    #[test]
    fn an_answer_repeats_the_question_and_adds_addresses() {
        let query = query("web", 1);
        let question = Question::read(&query).unwrap();
        let answer = question.answer(&query, Outcome::Good, &[Answer::Address([172, 20, 0, 2].into())]);
        assert_eq!(answer[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[12..query.len()], query[12..]);
        assert_eq!(answer[query.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 172, 20, 0, 2]);
        assert!(answers(&query, &question, &answer) && !answers(&query, &question, &query));
    }

    #[test]
    fn an_address_is_read_from_its_pointer() {
        assert_eq!(address_of_pointer("2.0.20.172.in-addr.arpa"), Some([172, 20, 0, 2].into()));
        assert_eq!(address_of_pointer("0.20.172.in-addr.arpa"), None);
        assert_eq!(address_of_pointer("web"), None);
    }
}
