//! Lists in the form that `--format` asks for: a table, a table of chosen columns, JSON, or a template a line.

use super::{columns, template::Template};
use crate::report::Refusal;
use anyhow::Result;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a list is written. Source: docker's reference, "Format command and log output".
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// The usual columns.
    #[default]
    Table,
    /// `table TEMPLATE`: these columns, with their headers.
    TableOf(Template),
    /// One document a line.
    Json,
    /// One line each.
    Lines(Template),
}

/// What can be said of each thing in a list: docker's name of the field, and the header of its column.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// All fields.
    pub fields: &'static [(&'static str, &'static str)],
    /// Those of the usual table.
    pub table: &'static [&'static str],
}

/// One thing in a list.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The fields, in the order of the listing.
    pub values: Vec<String>,
    /// What `.Label "name"` finds.
    pub labels: BTreeMap<String, String>,
}

impl Format {
    /// Reads the value of `--format`; without one it is the usual table.
    ///
    /// # Errors
    /// [`Refusal`] for a template that cannot be read.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        // As docker: in a shell's single quotes these two are not yet characters.
        let template = |text: &str| read(&text.replace("\\t", "\t").replace("\\n", "\n"), 1);
        match text {
            None | Some("" | "table") => Ok(Self::Table),
            Some("json" | "{{json .}}") => Ok(Self::Json),
            Some(text) => match text.strip_prefix("table ") {
                Some(columns) => Ok(Self::TableOf(template(columns.trim())?)),
                None => Ok(Self::Lines(template(text)?)),
            },
        }
    }
}

/// Reads a template; an error in it is a [`Refusal`] with `code`.
///
/// # Errors
/// For what is no template.
pub fn read(text: &str, code: u8) -> Result<Template> {
    Template::parse(text).map_err(|error| refused(&error, code))
}

/// An error of a template as the user sees it.
#[must_use]
pub fn refused(error: &super::template::Error, code: u8) -> anyhow::Error {
    let help = "`{{json .}}` shows all the fields that there are";
    Refusal::new(error.to_string()).help(help).code(code).into()
}

impl Format {
    /// One document: as JSON, by the template, or as `plain` says it.
    ///
    /// # Errors
    /// A [`Refusal`] for a field that there is not.
    pub fn document(&self, document: &Value, plain: impl FnOnce() -> String) -> Result<String> {
        match self {
            Self::Table => Ok(plain()),
            Self::Json => Ok(format!("{document}\n")),
            Self::Lines(template) | Self::TableOf(template) => {
                template.render(document).map(|text| text + "\n").map_err(|error| refused(&error, 1))
            }
        }
    }
}

impl Listing {
    /// The list as text.
    ///
    /// # Errors
    /// A [`Refusal`] for a field that there is not.
    pub fn write(&self, format: &Format, rows: &[Row]) -> Result<String> {
        match format {
            Format::Table => Ok(self.usual(rows)),
            Format::Json => Ok(rows.iter().map(|row| format!("{}\n", Value::Object(self.document(row)))).collect()),
            Format::Lines(template) => rows.iter().map(|row| Ok(self.line(template, row)? + "\n")).collect(),
            Format::TableOf(template) => {
                let header = template.render_header(&self.headers()).map_err(|error| refused(&error, 1))?;
                let lines = rows.iter().map(|row| self.line(template, row));
                let lines = std::iter::once(Ok(header)).chain(lines).collect::<Result<Vec<_>>>()?;
                Ok(columns(lines.iter().map(String::as_str)))
            }
        }
    }

    fn usual(&self, rows: &[Row]) -> String {
        let place = |name: &&str| self.fields.iter().position(|(field, _)| field == name);
        let chosen: Vec<usize> = self.table.iter().filter_map(place).collect();
        let header: Vec<&str> = chosen.iter().map(|index| self.fields[*index].1).collect();
        let line = |row: &Row| {
            chosen.iter().map(|index| row.values.get(*index).map_or("", String::as_str)).collect::<Vec<_>>().join("\t")
        };
        let lines: Vec<String> = std::iter::once(header.join("\t")).chain(rows.iter().map(line)).collect();
        columns(lines.iter().map(String::as_str))
    }

    fn line(&self, template: &Template, row: &Row) -> Result<String> {
        let methods = |name: &str, arguments: &[Value]| match (name, arguments) {
            ("Label", [Value::String(label)]) => Some(row.labels.get(label).cloned().unwrap_or_default().into()),
            _ => None,
        };
        let document = Value::Object(self.document(row));
        template.render_with(&document, &methods).map_err(|error| refused(&error, 1))
    }

    fn document(&self, row: &Row) -> Map<String, Value> {
        let pair = |((field, _), value): (&(&str, &str), &String)| ((*field).to_owned(), value.clone().into());
        self.fields.iter().zip(&row.values).map(pair).collect()
    }

    fn headers(&self) -> Value {
        let pair = |(field, header): &(&str, &str)| ((*field).to_owned(), (*header).into());
        Value::Object(self.fields.iter().map(pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing =
        Listing { fields: &[("ID", "ID"), ("Name", "THE NAME"), ("Hidden", "HIDDEN")], table: &["ID", "Name"] };

    fn write(format: &str) -> Result<String> {
        let labels = [("org.x".to_owned(), "y".to_owned())].into();
        let row = Row { values: ["1", "one", "h"].map(str::to_owned).to_vec(), labels };
        LISTING.write(&Format::parse(Some(format))?, &[row])
    }

    #[test]
    fn a_list_has_four_forms() {
        let cases = [
            ("table", "ID   THE NAME\n1    one\n"),
            ("json", "{\"Hidden\":\"h\",\"ID\":\"1\",\"Name\":\"one\"}\n"),
            ("{{.ID}}\\t{{.Hidden}}", "1\th\n"),
            (
                "table {{.Name}}\\t{{upper .Hidden}}\\t{{.Label \"org.x\"}}",
                "THE NAME   HIDDEN   x\none        H        y\n",
            ),
            ("yaml", "yaml\n"),
        ];
        for (format, expected) in cases {
            assert_eq!(write(format).expect(format), expected);
        }
        assert!(write("{{.Nope}}").is_err() && write("{{").is_err());
    }
}
