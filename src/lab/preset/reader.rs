//! Reads tables of TOML key by key, and notes everything that is wrong.

use std::cell::RefCell;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Mistake;
use crate::report::safe;

/// What has been found wrong with a text so far.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Notes<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, mistakes: RefCell::new(Vec::new()) }
    }

    /// Notes what is wrong at this place of the text.
    pub(super) fn add(&self, at: usize, problem: String) {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.mistakes.borrow_mut().push(Mistake { line, problem });
    }

    /// Returns all that is wrong, in the order of the lines.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort();
        mistakes.dedup();
        mistakes
    }

    /// Returns a value as it stands in the text.
    fn value(&self, value: &Value<'_>) -> String {
        safe::short(self.text.get(value.span()).unwrap_or_default())
    }
}

/// A table being read. What is not asked for by its [`end`](Self::end) is unknown.
#[derive(Debug)]
pub(super) struct Section<'a> {
    notes: &'a Notes<'a>,
    /// What stands before a key in messages: empty, or a path with a dot at its end.
    path: String,
    /// Where it begins.
    at: usize,
    fields: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

/// A key that is there, and its value.
#[derive(Debug)]
pub(super) struct Field<'a> {
    notes: &'a Notes<'a>,
    path: String,
    at: usize,
    value: &'a Value<'a>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    pub(super) const fn top(notes: &'a Notes<'a>, fields: &'a DeTable<'a>) -> Self {
        Self { notes, path: String::new(), at: 0, fields, asked: Vec::new() }
    }

    /// Returns what a key is set to.
    pub(super) fn field(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        let (name, value) = self.fields.get_key_value(key)?;
        let path = format!("{}{key}", self.path);
        Some(Field { notes: self.notes, path, at: name.span().start, value })
    }

    /// Reads a text; a value that `parse` does not take is noted with what is allowed.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.field(key)?.text(allowed, parse)
    }

    /// Reads a whole number.
    pub(super) fn whole(&mut self, key: &'static str, from: u64, to: u64) -> Option<u64> {
        let field = self.field(key)?;
        let number = field.value.get_ref().as_integer();
        let number = number.and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.filter(|number| (from..=to).contains(number));
        if number.is_none() {
            field.refuse(&format!("a whole number from {from} to {to}"));
        }
        number
    }

    /// Reads true or false.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let field = self.field(key)?;
        let DeValue::Boolean(flag) = field.value.get_ref() else {
            field.refuse("true or false");
            return None;
        };
        Some(*flag)
    }

    /// Enters a table.
    pub(super) fn section(&mut self, key: &'static str, example: &str) -> Option<Self> {
        self.field(key)?.section(example)
    }

    /// Returns whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Notes what is wrong with the section as a whole, or with one of its keys.
    pub(super) fn note(&self, key: Option<&str>, problem: &str) {
        let at = key.and_then(|key| Some(self.fields.get_key_value(key)?.0.span().start));
        let path = match key {
            Some(key) => format!("{}{key}", self.path),
            None if self.path.is_empty() => "the preset".to_owned(),
            None => self.path.trim_end_matches('.').to_owned(),
        };
        self.notes.add(at.unwrap_or(self.at), format!("{path} {problem}"));
    }

    /// Notes that a value does not go with others, and what is allowed.
    pub(super) fn refuse(&self, key: &'static str, allowed: &str) {
        if let Some((name, value)) = self.fields.get_key_value(key) {
            let value = self.notes.value(value);
            let problem = format!("{}{key} is {value}; allowed is {allowed}", self.path);
            self.notes.add(name.span().start, problem);
        }
    }

    /// Asks for a key that a section of this kind must have.
    pub(super) fn require(&self, key: &str, example: &str) {
        if !self.has(key) {
            self.note(None, &format!("has no {key}; write for instance {key} = {example}"));
        }
    }

    /// Notes all keys that nobody asked for.
    pub(super) fn end(self) {
        for name in self.fields.keys() {
            let key = name.get_ref().as_ref();
            if !self.asked.contains(&key) {
                let known = self.asked.join(", ");
                let path = format!("{}{}", self.path, safe::short(key));
                let problem = format!("{path} is not known; there are {known}");
                self.notes.add(name.span().start, problem);
            }
        }
    }
}

impl<'a> Field<'a> {
    pub(super) fn text<T>(
        &self,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let read = self.value.get_ref().as_str().and_then(parse);
        if read.is_none() {
            self.refuse(allowed);
        }
        read
    }

    pub(super) fn section(self, example: &str) -> Option<Section<'a>> {
        let DeValue::Table(fields) = self.value.get_ref() else {
            self.refuse(&format!("a table such as {example}"));
            return None;
        };
        let path = format!("{}.", self.path);
        Some(Section { notes: self.notes, path, at: self.at, fields, asked: Vec::new() })
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// Notes that the value is not one of those that are allowed.
    pub(super) fn refuse(&self, allowed: &str) {
        let value = self.notes.value(self.value);
        self.notes.add(self.at, format!("{} is {value}; allowed is {allowed}", self.path));
    }

    /// Notes what is wrong with what the value names.
    pub(super) fn note(&self, problem: &str) {
        let value = self.notes.value(self.value);
        self.notes.add(self.at, format!("{} is {value}: {problem}", self.path));
    }
}
