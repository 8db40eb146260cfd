//! A tree and a document into text.

use super::parse::{Base, Command, Node, Operand, Pipeline};
use super::{Fault, Methods, functions};
use serde_json::Value;

pub(super) struct Evaluator<'e> {
    source: &'e str,
    methods: Methods<'e>,
    root: &'e Value,
    variables: Vec<(String, Value)>,
    out: String,
    /// Whether the values are headers, which functions leave as they are.
    headers: bool,
}

/// How a list of nodes ended.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What an action prints. A field that is null has a type in docker, and shows as an empty list, an empty map or no pointer.
fn shown(pipeline: &Pipeline, value: &Value) -> String {
    let field = match &pipeline.commands[..] {
        [Command { operands, .. }] => operands.first().and_then(|operand| operand.fields.last()),
        _ => None,
    };
    match (value, field) {
        (Value::Null, Some(name)) => functions::null(name).to_owned(),
        _ => functions::text(value),
    }
}

impl<'e> Evaluator<'e> {
    pub(super) fn new(source: &'e str, root: &'e Value, methods: Methods<'e>) -> Self {
        Self {
            source,
            methods,
            root,
            variables: vec![("$".to_owned(), root.clone())],
            out: String::new(),
            headers: false,
        }
    }

    pub(super) fn of_headers(self) -> Self {
        Self { headers: true, ..self }
    }

    pub(super) fn document(mut self, nodes: &[Node]) -> Result<String, Fault> {
        self.nodes(nodes, self.root)?;
        Ok(self.out)
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Fault> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out += text,
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.out += &shown(pipeline, &value);
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                block => match self.block(block, dot)? {
                    Flow::On => {}
                    other => return Ok(other),
                },
            }
        }
        Ok(Flow::On)
    }

    fn block(&mut self, node: &Node, dot: &Value) -> Result<Flow, Fault> {
        let in_sight = self.variables.len();
        let flow = match node {
            Node::If(condition, body, otherwise) => {
                let value = self.pipeline(condition, dot)?;
                self.nodes(if functions::is_true(&value) { body } else { otherwise }, dot)?
            }
            Node::With(condition, body, otherwise) => {
                let value = self.pipeline(condition, dot)?;
                if functions::is_true(&value) { self.nodes(body, &value)? } else { self.nodes(otherwise, dot)? }
            }
            Node::Range(over, body, otherwise) => self.range(over, body, otherwise, dot)?,
            _ => Flow::On,
        };
        self.variables.truncate(in_sight);
        Ok(flow)
    }

    fn range(&mut self, over: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<Flow, Fault> {
        let value = self.commands(&over.commands, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::Array(list) => list.into_iter().enumerate().map(|(index, item)| (index.into(), item)).collect(),
            Value::Object(map) => {
                let mut items: Vec<_> = map.into_iter().collect();
                items.sort_by(|a, b| a.0.cmp(&b.0));
                items.into_iter().map(|(key, item)| (key.into(), item)).collect()
            }
            Value::Null => Vec::new(),
            Value::Number(number) if number.is_u64() => {
                // As many rounds as anybody means.
                let rounds = number.as_u64().unwrap_or(0).min(1 << 20);
                (0..rounds).map(|round| (round.into(), round.into())).collect()
            }
            other => {
                return Err(
                    self.fault(over.commands.first(), &format!("range can't iterate over {}", functions::text(&other)))
                );
            }
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        let in_sight = self.variables.len();
        for (key, item) in items {
            match &over.variables[..] {
                [value] => self.variables.push((value.clone(), item.clone())),
                [index, value] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((value.clone(), item.clone()));
                }
                _ => {}
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(in_sight);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Fault> {
        let value = self.commands(&pipeline.commands, dot)?;
        for name in &pipeline.variables {
            match self.variables.iter_mut().rev().find(|(other, _)| other == name) {
                Some((_, place)) if pipeline.assigns => *place = value.clone(),
                _ => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn commands(&mut self, commands: &[Command], dot: &Value) -> Result<Value, Fault> {
        let mut last = None;
        for command in commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    /// The last argument is what the command before it in the pipeline gave.
    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Result<Value, Fault> {
        let Some((first, rest)) = command.operands.split_first() else { return Ok(Value::Null) };
        if let Base::Function(name) = &first.base {
            return self.function(name, command, rest, dot, last);
        }
        if rest.is_empty() && last.is_none() {
            return self.operand(first, dot);
        }
        let mut arguments = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(last);
        let method = match (&first.base, &first.fields[..]) {
            (Base::Dot, [name]) => (self.methods)(name, &arguments),
            _ => None,
        };
        method.ok_or_else(|| match first.fields.last() {
            Some(name) => self.fault_at(first, &format!("{name} is not a method but has arguments")),
            None => self.fault_at(first, "can't give argument to non-function"),
        })
    }

    fn function(
        &mut self,
        name: &str,
        command: &Command,
        rest: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Fault> {
        let mut arguments = Vec::new();
        for operand in rest {
            let value = self.operand(operand, dot)?;
            // These two look at no more than they have to.
            let decided = match name {
                "and" => !functions::is_true(&value),
                "or" => functions::is_true(&value),
                _ => false,
            };
            if decided {
                return Ok(value);
            }
            arguments.push(value);
        }
        arguments.extend(last);
        if self.headers && functions::OF_VALUES.contains(&name) {
            return Ok(arguments.into_iter().next().unwrap_or_default());
        }
        functions::call(name, &arguments)
            .map_err(|why| self.fault(Some(command), &format!("error calling {name}: {why}")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Fault> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Literal(value) => value.clone(),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(other, _)| other == name);
                found.map_or(Value::Null, |(_, value)| value.clone())
            }
            Base::Function(name) => functions::call(name, &[])
                .map_err(|why| self.fault_at(operand, &format!("error calling {name}: {why}")))?,
            Base::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        };
        for name in &operand.fields {
            value = self.field(operand, value, name)?;
        }
        Ok(value)
    }

    fn field(&self, operand: &Operand, value: Value, name: &str) -> Result<Value, Fault> {
        let what = match value {
            Value::Object(mut map) => match map.remove(name) {
                Some(value) => return Ok(value),
                None => format!("map has no entry for key \"{name}\""),
            },
            Value::Null => format!("nil data; no entry for key \"{name}\""),
            other => format!("can't evaluate field {name} in type {}", functions::type_name(&other)),
        };
        Err(self.fault_at(operand, &what))
    }

    fn fault(&self, command: Option<&Command>, what: &str) -> Fault {
        let operands = command.map(|command| &command.operands[..]).unwrap_or_default();
        match operands {
            [first, .., last] => self.fault_between(first.start, last.end, what),
            [only] => self.fault_at(only, what),
            [] => Fault::new(0, what),
        }
    }

    fn fault_at(&self, operand: &Operand, what: &str) -> Fault {
        self.fault_between(operand.start, operand.end, what)
    }

    fn fault_between(&self, start: usize, end: usize, what: &str) -> Fault {
        let text = self.source.get(start..end).unwrap_or_default();
        Fault::new(start, format!("executing \"\" at <{text}>: {what}"))
    }
}
