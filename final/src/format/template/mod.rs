//! Go's text/template, as far as docker's `--format` uses it: `{{.State.Status}}`, `{{json .}}`, `{{range .Mounts}}…{{end}}`.
//!
//! Written by hand: the crate that there is (`gtmpl`) is not kept up, knows none of docker's functions, and is several times as much
//! code. Left out of Go's language: `define`, `template`, `block`, `call`, complex numbers. Source: Go's package documentation of text/template;
//! docker's reference, "Format command and log output".

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;

use serde_json::Value;
use std::fmt;

/// A template that was read without an error.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    nodes: Vec<parse::Node>,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    line: usize,
    column: usize,
    what: String,
}

/// What a template calls on the document itself, such as `.Label "name"`: the name and the arguments.
pub type Methods<'a> = &'a dyn Fn(&str, &[Value]) -> Option<Value>;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Error`] for what is no template, or calls a function that there is not.
    pub fn parse(source: &str) -> Result<Self, Error> {
        let nodes = lex::pieces(source).and_then(|pieces| parse::Parser::new(source, &pieces).document());
        let nodes = nodes.map_err(|fault| fault.at_place(source))?;
        Ok(Self { source: source.to_owned(), nodes })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// [`Error`] for a field that `data` does not have, or a function that does not take what it is given.
    pub fn render(&self, data: &Value) -> Result<String, Error> {
        self.render_with(data, &|_, _| None)
    }

    /// The same for a document that has methods.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_with(&self, data: &Value, methods: Methods<'_>) -> Result<String, Error> {
        let rendered = eval::Evaluator::new(&self.source, data, methods).document(&self.nodes);
        rendered.map_err(|fault| fault.at_place(&self.source))
    }

    /// The header of a table: `headers` has the header of each field, and functions that would change a value leave it.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_header(&self, headers: &Value) -> Result<String, Error> {
        let label = |name: &str, arguments: &[Value]| {
            let label = arguments.first().filter(|_| name == "Label")?.as_str()?;
            Some(label.rsplit('.').next()?.replace(['-', '_'], " ").into())
        };
        let evaluator = eval::Evaluator::new(&self.source, headers, &label).of_headers();
        evaluator.document(&self.nodes).map_err(|fault| fault.at_place(&self.source))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template parsing error: template: :{}:{}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for Error {}

/// An error with its place in bytes.
#[derive(Debug)]
struct Fault {
    at: usize,
    what: String,
}

impl Fault {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }

    /// Lines count from 1 and columns from 0, as Go counts them.
    fn at_place(self, source: &str) -> Error {
        let before = source.get(..self.at).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        Error { line, column, what: self.what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str) -> String {
        let data = json!({
            "Id": "0123456789abcdef", "Name": "/web", "Count": 3, "Zero": 0, "Null": null, "Yes": true,
            "Args": ["a", "b", "c"], "None": [], "State": { "Status": "running", "Pid": 42 },
            "Labels": { "b": "2", "a": "1" }, "Ports": { "80/tcp": [{ "HostPort": "8080" }] },
            "CapAdd": null, "Sysctls": null, "PidsLimit": null,
        });
        let methods = |name: &str, arguments: &[Value]| {
            (name == "Label").then(|| data["Labels"][arguments[0].as_str().unwrap_or_default()].clone())
        };
        let rendered = Template::parse(source).and_then(|template| template.render_with(&data, &methods));
        rendered.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn templates_say_what_gos_say() {
        let cases = [
            ("plain", "plain"),
            ("{{.Name}} {{.State.Pid}}", "/web 42"),
            ("{{json .State}}", r#"{"Pid":42,"Status":"running"}"#),
            ("{{.State | json}}", r#"{"Pid":42,"Status":"running"}"#),
            ("{{.Args}} {{.Labels}}", "[a b c] map[a:1 b:2]"),
            ("{{.CapAdd}} {{.Sysctls}} {{.PidsLimit}} {{json .CapAdd}}", "[] map[] <nil> null"),
            ("{{len .CapAdd}} {{range .CapAdd}}x{{end}}{{join .CapAdd \",\"}}{{index .Sysctls \"a\"}}", "0 "),
            ("{{range .Args}}<{{.}}>{{end}}", "<a><b><c>"),
            ("{{range $i, $a := .Args}}{{if $i}}, {{end}}{{$i}}={{$a}}{{end}}", "0=a, 1=b, 2=c"),
            ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
            ("{{range .None}}x{{else}}empty{{end}}", "empty"),
            ("{{range .Args}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
            ("{{range .Args}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
            ("{{if .Zero}}a{{else if .Yes}}b{{else}}c{{end}}", "b"),
            ("{{with .State}}{{.Status}} {{$.Name}}{{end}}", "running /web"),
            ("{{with .Null}}x{{else}}nothing{{end}}", "nothing"),
            ("{{index .Args 1}} {{index .Labels \"a\"}} [{{index .Labels \"z\"}}]", "b 1 []"),
            ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
            ("{{len .Args}} {{len .Name}} {{len .Labels}}", "3 4 2"),
            ("{{if and .Yes (gt .Count 2)}}{{or .Zero \"or\"}}{{end}} {{not .Yes}}", "or false"),
            ("{{eq .Count 1 2 3}} {{ne .Name \"x\"}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}", "true true true true false"),
            (
                "{{printf \"%-5s|%5d|%q|%v|%t|%%|%.2s\" \"ab\" 7 \"x\" .Args true \"long\"}}",
                "ab   |    7|\"x\"|[a b c]|true|%|lo",
            ),
            ("{{println .Name 1}}", "/web 1\n"),
            ("{{join .Args \"/\"}} {{join (split \"a,b\" \",\") \"+\"}}", "a/b/c a+b"),
            ("{{upper .Name}} {{lower \"ABC\"}} {{title \"one two\"}}", "/WEB abc One Two"),
            ("{{truncate .Id 4}}{{pad \"x\" 1 2}}|", "0123 x  |"),
            ("{{$x := .Count}}{{$x = 4}}{{$x}}", "4"),
            ("a {{- \" b \" -}} c", "a b c"),
            ("{{/* nothing */}}x{{- /* nothing */ -}} y", "xy"),
            ("{{`raw \"text\"`}}{{\"a\\tb\"}}", "raw \"text\"a\tb"),
            ("{{.Label \"a\"}}", "1"),
            ("{{slice .Id 0 4}}", "0123"),
            ("{{range 3}}{{.}}{{end}}", "012"),
            ("{{(.State).Pid}}", "42"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source), expected, "{source}");
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        let cases = [
            ("{{.Nope}}", "1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""),
            ("{{.State.Nope}}", "1:2: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\""),
            ("x\n  {{.Name.X}}", "2:4: executing \"\" at <.Name.X>: can't evaluate field X in type string"),
            ("{{nope .}}", "1:2: function \"nope\" not defined"),
            ("{{.Name", "1:0: unclosed action"),
            ("{{if .Name}}", "1:12: unexpected EOF: an `{{if}}` has no `{{end}}`"),
            ("{{end}}", "1:2: unexpected {{end}}"),
            ("{{else}}", "1:2: unexpected {{else}}"),
            ("{{$x}}", "1:2: undefined variable \"$x\""),
            ("{{\"x}}", "1:2: unterminated quoted string"),
            ("{{}}", "1:0: missing value for command"),
            ("{{index .Args 9}}", "1:2: executing \"\" at <index .Args 9>: error calling index: index out of range: 9"),
            (
                "{{eq .Name 1}}",
                "1:2: executing \"\" at <eq .Name 1>: error calling eq: incompatible types for comparison",
            ),
            ("{{.Name 1}}", "1:2: executing \"\" at <.Name>: Name is not a method but has arguments"),
            ("{{template \"x\"}}", "1:2: `template` is not supported"),
            ("{{(.Name}}", "1:2: unclosed left paren"),
            ("{{.Name ]}}", "1:8: unexpected \"]\" in operand"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source), format!("template parsing error: template: :{expected}"), "{source}");
        }
    }

    #[test]
    fn no_template_is_too_deep() {
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(render(&deep).contains("too deep"), "parentheses");
        assert!(render(&"{{if 1}}".repeat(100_000)).contains("too deep"), "blocks");
    }
}
