//! @NAME@ greets {"name": "…"} and counts how often, in the skill's own memory.

wit_bindgen::generate!({ world: "cis:skill/skill", path: "cis-skill.wit" });

use cis::skill::{log, memory};
use serde_json::{Value, json};

struct Skill;

impl Guest for Skill {
    fn run(input: String) -> Result<String, String> {
        let input: Value = serde_json::from_str(&input).map_err(|e| e.to_string())?;
        let name = input["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or(r#"the input needs a name: {"name":"Ada"}"#)?;
        let count = match memory::get("count") {
            Ok(Some(old)) => old.parse().unwrap_or(0) + 1,
            _ => 1u64,
        };
        if let Err(why) = memory::set("count", &count.to_string()) {
            log::log(log::Level::Warn, &format!("{why:?}")); // not granted: it works without a memory
        }
        Ok(json!({ "greeting": name, "count": count }).to_string())
    }
}

export!(Skill);
