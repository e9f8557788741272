//! Common mistakes that show in a token's own fields, with their cures.

use super::fields::Fields;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::presented::Presented;
use crate::domain::token::{acl, address};

/// The cures for what is wrong, or soon will be, with these fields for this request.
pub(super) fn for_fields(fields: &Fields<'_>, presented: &Presented<'_>, now: UnixTime) -> Vec<String> {
    const MILLISECONDS: u64 = 100_000_000_000;
    let now = now.as_secs();
    let mut cures = Vec::new();
    for (name, value) in [("st", fields.start), ("exp", Some(fields.expires))] {
        if value.is_some_and(|value| value >= MILLISECONDS) {
            cures.push(format!("{name} looks like milliseconds: give Unix time in seconds"));
        }
    }
    if fields.start.is_some_and(|start| start < MILLISECONDS && start > now && start - now <= 300) {
        cures.push(
            "the signer's clock is ahead of this one: synchronise both, or leave the start out".to_owned(),
        );
    }
    if fields.expires <= now && now - fields.expires <= 300 {
        cures.push("it ended within the last five minutes: sign a new one, with a longer window if players start late".to_owned());
    }
    if let Some(acl) = fields.acl {
        let acl = acl::normalise(acl);
        if !acl::covers(&acl, presented.path) {
            cures.push(format!(
                "the acl does not cover this path: sign for {:?}, say",
                directory(presented.path)
            ));
        } else if covers_only_playlists(&acl) {
            cures.push(format!(
                "the acl covers the playlist but not what it names: sign for {:?} if the session is to carry the acl",
                directory(presented.path)
            ));
        }
    }
    if fields.ip.is_some() && fields.ip.and_then(address::parse) != Some(presented.client.to_canonical()) {
        cures.push("the client's address differs (dual stack, mobile, a proxy not listed in trusted_proxies): leave ip out, or match by prefix".to_owned());
    }
    cures
}

fn covers_only_playlists(acl: &str) -> bool {
    acl.split(acl::SEPARATOR)
        .all(|pattern| pattern.trim_end_matches('*').to_ascii_lowercase().ends_with("m3u8"))
}

/// The pattern of everything beside `path`.
pub(super) fn directory(path: &str) -> String {
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    format!("{}*", &path[..end])
}
