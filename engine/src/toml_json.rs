//! TOML → JSON with the line of every key.

use crate::{GlueText, depth, slice};
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Byte offsets of line starts, so that a span becomes a line number without a rescan.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Lines {
        let ends = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(i, _)| i + 1);
        Lines(std::iter::once(0).chain(ends).collect())
    }
    fn of(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

struct Walk {
    lines: Lines,
    map: Map<String, Value>,
    path_bytes: usize,
}

/// Paths of all keys together: deep tables would otherwise square the size of the input.
const MAX_PATH_BYTES: usize = 16 << 20;

type Fault = (usize, String);

impl Walk {
    fn note(&mut self, path: &str, offset: usize) -> Result<(), Fault> {
        let line = self.lines.of(offset);
        self.path_bytes += path.len();
        if self.path_bytes > MAX_PATH_BYTES {
            return Err((line, "too many nested keys".into()));
        }
        self.map.insert(path.into(), Value::Number(line.into()));
        Ok(())
    }

    fn table(&mut self, path: &str, table: &DeTable) -> Result<Value, Fault> {
        let mut out = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let sub = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            self.note(&sub, key.span().start)?;
            let value = self.value(&sub, value)?;
            out.insert(name.to_owned(), value);
        }
        Ok(Value::Object(out))
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue>) -> Result<Value, Fault> {
        let fault = |walk: &Walk, what: &str| (walk.lines.of(value.span().start), what.to_owned());
        Ok(match value.get_ref() {
            DeValue::String(s) => Value::String(s.to_string()),
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Datetime(d) => Value::String(d.to_string()),
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
                .map(Value::from)
                .map_err(|_| fault(self, &format!("{path}: integer out of range")))?,
            DeValue::Float(f) => f
                .as_str()
                .parse::<f64>()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| fault(self, &format!("{path}: number must be finite")))?,
            DeValue::Array(items) => {
                let mut out = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let sub = format!("{path}.{i}");
                    self.note(&sub, item.span().start)?;
                    out.push(self.value(&sub, item)?);
                }
                Value::Array(out)
            }
            DeValue::Table(t) => self.table(path, t)?,
        })
    }
}

fn convert(bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        (line, "not valid UTF-8".to_owned())
    })?;
    let mut walk = Walk {
        lines: Lines::new(text),
        map: Map::new(),
        path_bytes: 0,
    };
    if let Some(at) = depth::toml(text) {
        let what = format!("tables and arrays more than {} deep", depth::TOML_MAX);
        return Err((walk.lines.of(at), what));
    }
    let table = DeTable::parse(text).map_err(|e| {
        let line = e.span().map_or(1, |s| walk.lines.of(s.start));
        (line, e.message().replace('\n', ", "))
    })?;
    let value = walk.table("", table.get_ref())?;
    let mut out = Map::new();
    out.insert("value".into(), value);
    out.insert("lines".into(), Value::Object(walk.map));
    Ok(Value::Object(out).to_string())
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_toml_to_json(
    toml: *const u8,
    len: usize,
    out: *mut GlueText,
) -> u32 {
    // SAFETY: by the contract.
    match convert(unsafe { slice(toml, len) }) {
        Ok(json) => {
            GlueText::set(out, json);
            0
        }
        Err((line, text)) => {
            GlueText::set(out, text);
            u32::try_from(line).unwrap_or(u32::MAX).max(1)
        }
    }
}
