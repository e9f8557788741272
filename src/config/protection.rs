//! From `[geo]`, `[property.https]`, `[property.ip]` and `[property.geo]` as typed to what is asked before a token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use crate::domain::network::{self, Country, Networks};
use crate::domain::protection::{Geography, Lists, Plain, strict_transport};
use crate::edge::guard::Guard;
use crate::geo::Geo;
use crate::geo::database::Database;
use crate::geo::list::AddressList;

use super::fault::Judge;
use super::file::protection as typed;

/// What lists for preloading ask for (hstspreload.org): a year.
const PRELOAD_AGE_MIN: Duration = Duration::from_hours(365 * 24);

/// Opens the databases. One that cannot be used is a fault: without it, nobody could be judged.
pub fn geo(typed: &typed::Geo, folder: &Path, judge: &mut Judge) -> Geo {
    let mut open = |name: &'static str, path: &Option<Spanned<PathBuf>>| {
        let path = path.as_ref()?;
        match Database::open(name, &folder.join(path.get_ref()), typed.file_max.0) {
            Ok(database) => Some(database),
            Err(error) => {
                judge.fault(
                    path.span(),
                    format!("[geo] {name}: {error}"),
                    "give a database in MaxMind's format, such as GeoLite2-Country.mmdb",
                );
                None
            }
        }
    };
    let (country, asn) = (open("country", &typed.country), open("asn", &typed.asn));
    let check_interval = typed.check_interval.get_ref().0;
    if check_interval.is_zero() {
        judge.fault(
            typed.check_interval.span(),
            "[geo] check_interval has to be longer than nothing",
            "write for example \"10s\"",
        );
    }
    Geo { country, asn, lists: Vec::new(), check_interval }
}

/// What a property asks for. Its lists of addresses join those that are read again.
pub fn guard(
    https: &typed::Https,
    ip: &typed::Ip,
    geography: &typed::PropertyGeo,
    shared: &typed::Geo,
    folder: &Path,
    geo: &mut Geo,
    judge: &mut Judge,
) -> Guard {
    let mut list = |inline: &[Spanned<String>], files: &[Spanned<PathBuf>], key: &str, judge: &mut Judge| {
        if inline.is_empty() && files.is_empty() {
            return None;
        }
        let inline = Networks::new(inline.iter().filter_map(|text| one_network(text, judge)));
        let paths = files.iter().map(|file| folder.join(file.get_ref())).collect();
        match AddressList::open(inline, paths, shared.file_max.0) {
            Ok(list) => {
                let list = Arc::new(list);
                geo.lists.push(list.clone());
                Some(list)
            }
            Err(error) => {
                let place = files.first().map(Spanned::span).unwrap_or_default();
                judge.fault(
                    place,
                    format!("[property.ip] {key}: {error}"),
                    "give a text file with an address or a network on each line",
                );
                None
            }
        }
    };
    Guard {
        clients: None,
        plain: plain(https, judge),
        strict_transport: hsts(https, judge),
        allowed: list(&ip.allow, &ip.allow_files, "allow_files", judge),
        blocked: list(&ip.block, &ip.block_files, "block_files", judge),
        geography: self::geography(geography, shared, judge),
    }
}

fn plain(typed: &typed::Https, judge: &mut Judge) -> Plain {
    let port = typed.port.as_ref().map_or(443, |port| *port.get_ref());
    if let Some(typed_port) = &typed.port
        && (port == 0 || typed.only != typed::Only::Redirect)
    {
        judge.fault(
            typed_port.span(),
            "[property.https] port is where a redirect leads",
            "write a port with only = \"redirect\", or leave it out for 443",
        );
    }
    match typed.only {
        typed::Only::Off => Plain::Served,
        typed::Only::Refuse => Plain::Refused,
        typed::Only::Redirect => Plain::Redirected { port },
    }
}

fn hsts(typed: &typed::Https, judge: &mut Judge) -> Option<http::HeaderValue> {
    let age = typed.hsts_max_age.as_ref().map(|age| age.get_ref().0);
    let preload = typed.hsts_preload.as_ref().filter(|preload| *preload.get_ref());
    if let Some(preload) = preload
        && (!typed.hsts_subdomains || age.is_none_or(|age| age < PRELOAD_AGE_MIN))
    {
        judge.fault(
            preload.span(),
            "[property.https] hsts_preload needs hsts_subdomains and an hsts_max_age of at least a year",
            "write hsts_subdomains = true and hsts_max_age = \"365d\"",
        );
    }
    if age.is_none() && typed.hsts_subdomains {
        judge.fault(
            0..0,
            "[property.https] hsts_subdomains is said without hsts_max_age",
            "add hsts_max_age, such as \"365d\"",
        );
    }
    // RFC 6797 §6.1.1: an age of zero has a browser forget the host: it is sent, too.
    age.map(|age| strict_transport(age.as_secs(), typed.hsts_subdomains, preload.is_some()))
}

fn geography(typed: &typed::PropertyGeo, shared: &typed::Geo, judge: &mut Judge) -> Option<Geography> {
    let passes_unknown = |has_allow_list: bool| match typed.unknown {
        typed::Unknown::Auto => !has_allow_list,
        typed::Unknown::Allow => true,
        typed::Unknown::Block => false,
    };
    let asns = |list: &[Spanned<u32>]| list.iter().map(|number| *number.get_ref()).collect::<Vec<_>>();
    let countries = Lists {
        allow: typed.allow_countries.iter().filter_map(|code| one_country(code, judge)).collect(),
        block: typed.block_countries.iter().filter_map(|code| one_country(code, judge)).collect(),
        passes_unknown: passes_unknown(!typed.allow_countries.is_empty()),
    };
    let asns = Lists {
        allow: asns(&typed.allow_asns),
        block: asns(&typed.block_asns),
        passes_unknown: passes_unknown(!typed.allow_asns.is_empty()),
    };
    let first_country = typed.allow_countries.iter().chain(&typed.block_countries).next().map(Spanned::span);
    let first_asn = typed.allow_asns.iter().chain(&typed.block_asns).next().map(Spanned::span);
    needs_database(first_country, shared.country.is_some(), "country", judge);
    needs_database(first_asn, shared.asn.is_some(), "asn", judge);
    let geography = Geography { countries, asns };
    (!geography.countries.is_empty() || !geography.asns.is_empty()).then_some(geography)
}

/// Notes a fault where countries or networks are named and no database knows them.
pub fn needs_database(place: Option<std::ops::Range<usize>>, is_there: bool, key: &str, judge: &mut Judge) {
    if let Some(place) = place.filter(|_| !is_there) {
        judge.fault(
            place,
            format!("addresses are judged here, and [geo] {key} names no database"),
            format!("add [geo] with {key} = \"...mmdb\""),
        );
    }
}

pub fn one_country(code: &Spanned<String>, judge: &mut Judge) -> Option<Country> {
    let country = Country::parse(code.get_ref());
    if country.is_none() {
        judge.fault(
            code.span(),
            format!("\"{}\" is no country", code.get_ref()),
            "write two letters (ISO 3166-1), such as \"DE\"",
        );
    }
    country
}

pub fn one_network(text: &Spanned<String>, judge: &mut Judge) -> Option<ipnet::IpNet> {
    let network = network::network(text.get_ref());
    if network.is_none() {
        judge.fault(
            text.span(),
            format!("\"{}\" is neither an address nor a network", text.get_ref()),
            "write for example \"10.0.0.0/8\" or \"::1\"",
        );
    }
    network
}
