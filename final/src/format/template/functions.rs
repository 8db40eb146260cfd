//! The functions of templates: Go's and docker's.

use super::printf::printf;
use serde_json::Value;
use std::cmp::Ordering;

/// All of them: what is not here is refused when the template is read.
pub(super) const NAMES: [&str; 24] = [
    "and", "or", "not", "len", "index", "slice", "eq", "ne", "lt", "le", "gt", "ge", "print", "printf", "println",
    "json", "join", "split", "upper", "lower", "title", "truncate", "pad", "html",
];

/// Those that show a value in another form.
pub(super) const OF_VALUES: [&str; 8] = ["json", "join", "split", "upper", "lower", "title", "truncate", "pad"];

/// Calls one; the error is the reason.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("and" | "or", [.., last]) => Ok(last.clone()),
        ("not", [value]) => Ok((!is_true(value)).into()),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("eq", [first, others @ ..]) if !others.is_empty() => any_equal(first, others).map(Value::from),
        ("ne", [a, b]) => any_equal(a, std::slice::from_ref(b)).map(|equal| (!equal).into()),
        ("lt", [a, b]) => order(a, b).map(|order| order.is_lt().into()),
        ("le", [a, b]) => order(a, b).map(|order| order.is_le().into()),
        ("gt", [a, b]) => order(a, b).map(|order| order.is_gt().into()),
        ("ge", [a, b]) => order(a, b).map(|order| order.is_ge().into()),
        ("print", values) => Ok(print(values).into()),
        ("println", values) => Ok((values.iter().map(text).collect::<Vec<_>>().join(" ") + "\n").into()),
        ("printf", [format, values @ ..]) => Ok(printf(string(format)?, values).into()),
        ("json", [value]) => serde_json::to_string(value).map(Value::from).map_err(|error| error.to_string()),
        ("join", [Value::Array(list), separator]) => {
            Ok(list.iter().map(text).collect::<Vec<_>>().join(string(separator)?).into())
        }
        ("join", [Value::Null, _]) => Ok("".into()),
        ("split", [value, separator]) => Ok(string(value)?.split(string(separator)?).map(Value::from).collect()),
        ("upper", [value]) => Ok(string(value)?.to_uppercase().into()),
        ("lower", [value]) => Ok(string(value)?.to_lowercase().into()),
        ("title", [value]) => Ok(title(string(value)?).into()),
        ("truncate", [value, count]) => Ok(string(value)?.chars().take(whole(count)?).collect::<String>().into()),
        ("pad", [value, before, after]) => pad(string(value)?, whole(before)?, whole(after)?),
        ("html", [value]) => Ok(html(&text(value)).into()),
        _ => Err(format!("wrong number or type of arguments: {}", arguments.len())),
    }
}

/// A field that is null, as Go prints it by its type in docker's documents. Source: moby, api/types/container.
pub(super) fn null(field: &str) -> &'static str {
    match field {
        "Annotations" | "Containers" | "DriverOpts" | "ExposedPorts" | "Labels" | "Options" | "PortBindings"
        | "Ports" | "StorageOpt" | "Sysctls" | "Tmpfs" | "Volumes" => "map[]",
        "Health" | "Healthcheck" | "IPAMConfig" | "Init" | "MemorySwappiness" | "OomKillDisable" | "PidsLimit"
        | "SizeRootFs" | "SizeRw" | "StopTimeout" | "UsageData" => "<nil>",
        // Most are lists.
        _ => "[]",
    }
}

/// A value as Go prints it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let shown = |key: &str, value: &Value| if value.is_null() { null(key).to_owned() } else { text(value) };
            let mut pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", shown(key, value))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

/// What `if` takes for true: what is neither zero nor empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "json.Number",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("wrong type for value; expected string; got {}", type_name(value)))
}

fn whole(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|number| *number <= 1 << 20);
    number.ok_or_else(|| format!("wrong value for a number: {}", text(value)))
}

fn length(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => Ok(text.len().into()),
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::Null => Ok(0.into()),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        // As of a map of strings in Go: labels and options are what is asked for this way.
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_else(|| "".into())),
        (Value::Array(list), Value::Number(_)) => {
            let item = key.as_u64().and_then(|index| list.get(usize::try_from(index).ok()?));
            item.cloned().ok_or_else(|| format!("index out of range: {key}"))
        }
        (Value::Object(_) | Value::Array(_), other) => Err(format!("cannot index with type {}", type_name(other))),
        (Value::Null, Value::String(_)) => Ok("".into()),
        (Value::Null, _) => Err(format!("index out of range: {key}")),
        (other, _) => Err(format!("can't index item of type {}", type_name(other))),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let bounds = bounds.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
    let of = |length: usize| match bounds[..] {
        [] => Ok(0..length),
        [from] if from <= length => Ok(from..length),
        [from, to] if from <= to && to <= length => Ok(from..to),
        _ => Err(format!("index out of range: {bounds:?}")),
    };
    match value {
        Value::String(text) => {
            let part = text.get(of(text.len())?).ok_or("a slice cuts a character in two")?;
            Ok(part.into())
        }
        Value::Array(list) => Ok(list[of(list.len())?].to_vec().into()),
        other => Err(format!("can't slice item of type {}", type_name(other))),
    }
}

fn any_equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    let equal = |other: &Value| match (first, other) {
        (Value::Null, _) | (_, Value::Null) => Ok(first == other),
        (Value::Number(a), Value::Number(b)) => Ok(a.as_f64() == b.as_f64()),
        (Value::String(a), Value::String(b)) => Ok(a == b),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        _ => Err("incompatible types for comparison".to_owned()),
    };
    let results = others.iter().map(equal).collect::<Result<Vec<_>, _>>()?;
    Ok(results.contains(&true))
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).ok_or_else(|| "these have no order".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// A space between two values of which neither is a string, as Go's `Sprint`.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 && !value.is_string() && !values[index - 1].is_string() {
            out.push(' ');
        }
        out += &text(value);
    }
    out
}

fn title(text: &str) -> String {
    let mut begins = true;
    let letter = |character: char| {
        let first = std::mem::replace(&mut begins, !character.is_alphanumeric());
        if first { character.to_uppercase().collect::<String>() } else { character.to_string() }
    };
    text.chars().map(letter).collect()
}

fn pad(text: &str, before: usize, after: usize) -> Result<Value, String> {
    Ok(if text.is_empty() { "".into() } else { format!("{}{text}{}", " ".repeat(before), " ".repeat(after)).into() })
}

fn html(text: &str) -> String {
    let pairs = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")];
    let escaped = |character: char| pairs.iter().find(|(plain, _)| *plain == character).map(|(_, escaped)| *escaped);
    text.chars().map(|character| escaped(character).map_or_else(|| character.to_string(), str::to_owned)).collect()
}
