//! `sluicegate token inspect`: what a token says, without judging it.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::args::InspectArgs;
use super::input::{self, Typed};
use super::{BadInput, Report, time};
use crate::domain::token::acl;
use crate::domain::token::grant::UnixTime;
use crate::domain::uri::escape;

pub(super) fn inspect(args: &InspectArgs, now: UnixTime) -> Result<Report, BadInput> {
    let now = time(args.now.as_deref(), now)?.as_secs();
    let delimiter = input::delimiter("field delimiter", &args.field_delimiter)?;
    let (is_session, value) = match input::typed(&args.input, args.name(), &args.session_name, args.dialect)?
    {
        Typed::Token { is_session, value } => (is_session, value),
        Typed::Url(target) => match (target.session, target.access) {
            (Some(session), _) => (true, session),
            (None, Some(access)) => (false, access),
            (None, None) => {
                return Err(BadInput::new(
                    "url",
                    format_args!("{:?} holds no token; look for its name", args.input),
                ));
            }
        },
    };
    let text = escape::decode(&value).map_or_else(|| value.clone(), std::borrow::Cow::into_owned);
    let fields: Vec<(&str, &str)> =
        text.split(delimiter).map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
    let kind = if is_session { "session token" } else { "access token" };
    let allowed = allowed(&fields);
    let out = if args.json {
        let shown: Map<String, Value> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        format!("{}\n", json!({ "kind": kind, "fields": shown, "allows": allowed }))
    } else {
        let mut out = format!("{kind}\n");
        for (name, value) in &fields {
            let note = match *name {
                "st" | "exp" => value.parse().map_or_else(|_| "no number".to_owned(), |at| human(at, now)),
                _ => String::new(),
            };
            let _ = writeln!(out, "{}", format!("  {name:<5} {}  {note}", value.escape_debug()).trim_end());
        }
        let _ = writeln!(out, "allows {allowed}");
        out
    };
    Ok(Report { out, ..Report::default() })
}

/// What the token would allow, if its signature is right.
fn allowed(fields: &[(&str, &str)]) -> String {
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let what = field("acl").map_or_else(
        || "the one URL that was signed".to_owned(),
        |acl| {
            let normal = acl::normalise(acl);
            let patterns: Vec<_> =
                normal.split(acl::SEPARATOR).filter(|pattern| !pattern.is_empty()).collect();
            if patterns.is_empty() {
                "nothing: its acl is empty".to_owned()
            } else {
                format!("paths like {}", patterns.join(" or "))
            }
        },
    );
    match field("ip") {
        Some(ip) => format!("{what}, to {}", ip.escape_debug()),
        None => format!("{what}, to any client"),
    }
}

/// A time as people read it, and how far it is from now.
pub(super) fn human(at: u64, now: u64) -> String {
    // The last second that an HTTP date can write.
    const DATE_MAX: u64 = 253_402_300_799;
    if at > DATE_MAX {
        return "beyond the year 9999; milliseconds perhaps, where seconds are meant".to_owned();
    }
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
    if at >= now {
        format!("{date}, in {}", span(at - now))
    } else {
        format!("{date}, {} ago", span(now - at))
    }
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}
