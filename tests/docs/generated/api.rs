//! The operators' listener, of its description in `OpenAPI`.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::escaped;
use crate::page::root;

const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

pub fn reference() -> String {
    let text = fs::read_to_string(root().join("src/admin/openapi.json")).expect("the description");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut out = String::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            operation(&mut out, &document, path, method, item);
        }
    }
    out.push_str("\n## What answers are made of\n");
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        let _ = writeln!(out, "\n### {name}\n");
        if let Some(text) = schema["description"].as_str() {
            let _ = writeln!(out, "{}.\n", escaped(text));
        }
        fields(&mut out, schema);
    }
    out
}

fn operation(out: &mut String, document: &Value, path: &str, method: &str, item: &Value) {
    let operation = &item[method];
    let _ = writeln!(out, "\n## {} {path}\n", method.to_uppercase());
    let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
    let token = if is_open { " Needs no token." } else { "" };
    let _ = writeln!(out, "{}.{token}", escaped(text_of(&operation["summary"])));
    if let Some(text) = operation["description"].as_str() {
        let _ = writeln!(out, "\n{}", escaped(text));
    }
    let parameters = [&item["parameters"], &operation["parameters"]];
    let parameters: Vec<&Value> = parameters.into_iter().filter_map(Value::as_array).flatten().collect();
    if !parameters.is_empty() {
        out.push_str("\n| parameter | in | type | |\n|---|---|---|---|\n");
    }
    for parameter in parameters {
        let needed = if parameter["required"] == true { "" } else { " (optional)" };
        let _ = writeln!(
            out,
            "| `{}` | {}{needed} | {} | {} |",
            text_of(&parameter["name"]),
            text_of(&parameter["in"]),
            kind(&parameter["schema"]),
            escaped(text_of(&parameter["description"]))
        );
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = writeln!(out, "\nBody (`application/json`): {}", kind(body));
        if body.get("$ref").is_none() && body["type"] == "object" {
            out.push('\n');
            fields(out, body);
        }
    }
    out.push_str("\n| status | |\n|---|---|\n");
    for (status, response) in operation["responses"].as_object().expect("responses") {
        let response = resolved(document, response);
        let content = response["content"].as_object().into_iter().flatten().next();
        let content =
            content.map_or_else(String::new, |(name, media)| match kind(&media["schema"]).as_str() {
                "" => format!(": `{name}`"),
                kind if name == "application/json" || name == "application/problem+json" => {
                    format!(": {kind}")
                }
                _ => format!(": `{name}`"),
            });
        let _ = writeln!(out, "| {status} | {}{content} |", escaped(text_of(&response["description"])));
    }
}

/// The members of an object, those that objects in it have below them.
fn fields(out: &mut String, schema: &Value) {
    out.push_str("| member | type | |\n|---|---|---|\n");
    rows(out, schema, "");
}

fn rows(out: &mut String, schema: &Value, above: &str) {
    let required = schema["required"].as_array();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = required.is_none_or(|required| required.iter().any(|one| one == name));
        let kind = kind(member);
        let maybe = if is_required { "" } else { ", or left out" };
        let _ = writeln!(
            out,
            "| `{above}{name}` | {kind}{maybe} | {} |",
            escaped(text_of(&member["description"]))
        );
        let (inner, mark) = if member["type"] == "array" { (&member["items"], "[]") } else { (member, "") };
        if inner.get("properties").is_some() {
            rows(out, inner, &format!("{above}{name}{mark}."));
        }
    }
}

/// A schema in few words; one of its own page is linked.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if let Some(one) = schema["const"].as_str() {
        return format!("`{one}`");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn resolved<'document>(document: &'document Value, value: &'document Value) -> &'document Value {
    let Some(path) = value["$ref"].as_str() else { return value };
    document.pointer(path.trim_start_matches('#')).expect("what is referred to")
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim_end_matches('.')
}
