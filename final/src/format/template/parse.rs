//! Tokens into a tree.

use super::Fault;
use super::functions;
use super::lex::{Kind, Piece, Token};
use serde_json::Value;

/// A part of a document.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

/// `$a, $b := command | command`.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// A value and the fields that are asked of it.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Function(String),
    Pipeline(Box<Pipeline>),
}

/// Blocks and parentheses in each other: more than anybody writes, and less than our stack takes.
const DEEPEST: usize = 100;

pub(super) struct Parser<'p> {
    source: &'p str,
    pieces: &'p [Piece],
    next: usize,
    /// The variables in sight.
    variables: Vec<String>,
    depth: usize,
}

/// What ended a block.
enum End {
    OfDocument,
    OfBlock,
    /// `{{else}}` with what follows the word.
    Else {
        at: usize,
        rest: Vec<Token>,
    },
}

impl<'p> Parser<'p> {
    pub(super) fn new(source: &'p str, pieces: &'p [Piece]) -> Self {
        Self { source, pieces, next: 0, variables: vec!["$".to_owned()], depth: 0 }
    }

    pub(super) fn document(mut self) -> Result<Vec<Node>, Fault> {
        let mut at = 0;
        match self.nodes(&mut at)? {
            (nodes, End::OfDocument) => Ok(nodes),
            (_, End::OfBlock) => Err(Fault::new(at, "unexpected {{end}}")),
            (_, End::Else { at, .. }) => Err(Fault::new(at, "unexpected {{else}}")),
        }
    }

    /// Nodes up to the end of the block; `at` is where its last action was.
    fn nodes(&mut self, at: &mut usize) -> Result<(Vec<Node>, End), Fault> {
        let mut nodes = Vec::new();
        loop {
            let piece = self.pieces.get(self.next);
            self.next += 1;
            let (open, tokens) = match piece {
                None => return Ok((nodes, End::OfDocument)),
                Some(Piece::Text(text)) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Some(Piece::Action { at, tokens }) => (*at, tokens.as_slice()),
            };
            let Some((first, rest)) = tokens.split_first() else {
                return Err(Fault::new(open, "missing value for command"));
            };
            *at = first.start;
            match &first.kind {
                Kind::Word(word) if word == "end" => return Ok((nodes, End::OfBlock)),
                Kind::Word(word) if word == "else" => {
                    return Ok((nodes, End::Else { at: first.start, rest: rest.to_vec() }));
                }
                Kind::Word(word) if word == "break" => nodes.push(Node::Break),
                Kind::Word(word) if word == "continue" => nodes.push(Node::Continue),
                Kind::Word(word) if ["if", "with", "range"].contains(&word.as_str()) => {
                    nodes.push(self.block(word, first.start, rest)?);
                }
                Kind::Word(word) if ["define", "template", "block", "call"].contains(&word.as_str()) => {
                    return Err(Fault::new(first.start, format!("`{word}` is not supported")));
                }
                _ => nodes.push(Node::Print(self.whole_pipeline(tokens, open)?)),
            }
        }
    }

    fn block(&mut self, word: &str, at: usize, tokens: &[Token]) -> Result<Node, Fault> {
        self.deeper(at)?;
        let in_sight = self.variables.len();
        let pipeline = self.whole_pipeline(tokens, at)?;
        let (body, end) = self.nodes(&mut 0)?;
        let otherwise = match end {
            End::OfBlock => Vec::new(),
            End::OfDocument => return Err(self.no_end(word)),
            End::Else { at, rest } => self.otherwise(word, at, &rest)?,
        };
        self.variables.truncate(in_sight);
        self.depth -= 1;
        Ok(match word {
            "if" => Node::If(pipeline, body, otherwise),
            "with" => Node::With(pipeline, body, otherwise),
            _ => Node::Range(pipeline, body, otherwise),
        })
    }

    /// `{{else}}` up to the end, or `{{else if …}}`, which shares the end.
    fn otherwise(&mut self, word: &str, at: usize, rest: &[Token]) -> Result<Vec<Node>, Fault> {
        if let Some((Token { kind: Kind::Word(again), .. }, rest)) = rest.split_first()
            && again == word
            && word != "range"
        {
            return Ok(vec![self.block(word, at, rest)?]);
        }
        if let Some(unexpected) = rest.first() {
            return Err(Fault::new(unexpected.start, format!("unexpected {} in {{{{else}}}}", self.text(unexpected))));
        }
        let mut last = at;
        match self.nodes(&mut last)? {
            (nodes, End::OfBlock) => Ok(nodes),
            (_, End::OfDocument) => Err(self.no_end(word)),
            (_, End::Else { at, .. }) => Err(Fault::new(at, "unexpected {{else}}")),
        }
    }

    fn no_end(&self, word: &str) -> Fault {
        Fault::new(self.source.len(), format!("unexpected EOF: an `{{{{{word}}}}}` has no `{{{{end}}}}`"))
    }

    fn deeper(&mut self, at: usize) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(Fault::new(at, "too deep")) } else { Ok(()) }
    }

    fn text(&self, token: &Token) -> &'p str {
        &self.source[token.start..token.end]
    }

    fn whole_pipeline(&mut self, tokens: &[Token], at: usize) -> Result<Pipeline, Fault> {
        let mut rest = tokens;
        let pipeline = self.pipeline(&mut rest, at)?;
        match rest.first() {
            None => Ok(pipeline),
            Some(token) => Err(Fault::new(token.start, format!("unexpected \"{}\" in operand", self.text(token)))),
        }
    }

    fn pipeline(&mut self, tokens: &mut &[Token], at: usize) -> Result<Pipeline, Fault> {
        let (variables, assigns) = self.declared(tokens);
        let mut commands = vec![self.command(tokens, at)?];
        while let Some((Token { kind: Kind::Pipe, start, .. }, rest)) = tokens.split_first() {
            *tokens = rest;
            commands.push(self.command(tokens, *start)?);
        }
        if assigns {
            if let Some(unknown) = variables.iter().find(|name| !self.variables.contains(name)) {
                return Err(Fault::new(at, format!("undefined variable \"{unknown}\"")));
            }
        } else {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, assigns, commands })
    }

    fn declared(&self, tokens: &mut &[Token]) -> (Vec<String>, bool) {
        let kinds: Vec<&Kind> = tokens.iter().take(4).map(|token| &token.kind).collect();
        let (names, used, assigns) = match kinds[..] {
            [Kind::Variable(a), Kind::Comma, Kind::Variable(b), Kind::Declare] => {
                (vec![a.clone(), b.clone()], 4, false)
            }
            [Kind::Variable(a), Kind::Declare, ..] => (vec![a.clone()], 2, false),
            [Kind::Variable(a), Kind::Assign, ..] => (vec![a.clone()], 2, true),
            _ => (Vec::new(), 0, false),
        };
        *tokens = &tokens[used..];
        (names, assigns)
    }

    fn command(&mut self, tokens: &mut &[Token], at: usize) -> Result<Command, Fault> {
        let mut operands = Vec::new();
        while let Some((token, rest)) = tokens.split_first() {
            let base = match &token.kind {
                Kind::Pipe | Kind::Close => break,
                Kind::Open => {
                    *tokens = rest;
                    self.parenthesised(token, tokens)?
                }
                kind => {
                    *tokens = rest;
                    self.base(token, kind)?
                }
            };
            let mut operand = Operand { base, fields: Vec::new(), start: token.start, end: token.end };
            if let Kind::Field(name, _) = &token.kind {
                operand.fields.push(name.clone());
            }
            while let Some((Token { kind: Kind::Field(name, true), end, .. }, rest)) = tokens.split_first() {
                operand.fields.push(name.clone());
                operand.end = *end;
                *tokens = rest;
            }
            operands.push(operand);
        }
        if operands.is_empty() { Err(Fault::new(at, "missing value for command")) } else { Ok(Command { operands }) }
    }

    fn parenthesised(&mut self, open: &Token, tokens: &mut &[Token]) -> Result<Base, Fault> {
        self.deeper(open.start)?;
        let pipeline = self.pipeline(tokens, open.start)?;
        let Some((Token { kind: Kind::Close, .. }, rest)) = tokens.split_first() else {
            return Err(Fault::new(open.start, "unclosed left paren"));
        };
        *tokens = rest;
        self.depth -= 1;
        Ok(Base::Pipeline(Box::new(pipeline)))
    }

    fn base(&self, token: &Token, kind: &Kind) -> Result<Base, Fault> {
        match kind {
            Kind::Dot | Kind::Field(..) => Ok(Base::Dot),
            Kind::Literal(value) => Ok(Base::Literal(value.clone())),
            Kind::Variable(name) if self.variables.contains(name) => Ok(Base::Variable(name.clone())),
            Kind::Variable(name) => Err(Fault::new(token.start, format!("undefined variable \"{name}\""))),
            Kind::Word(name) if functions::NAMES.contains(&name.as_str()) => Ok(Base::Function(name.clone())),
            Kind::Word(name) => Err(Fault::new(token.start, format!("function \"{name}\" not defined"))),
            _ => Err(Fault::new(token.start, format!("unexpected \"{}\" in operand", self.text(token)))),
        }
    }
}
