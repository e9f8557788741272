//! Redirects of the origin that stay on this site, followed here for viewers whose token stands in the URL they asked for:
//! no token may stand in a redirect, and so they would come to the new place without one.

use std::sync::Arc;
use std::time::Duration;

use http::header::LOCATION;
use http::{HeaderMap, StatusCode, Uri};
use url::Url;

use crate::domain::cache::cache_status::CacheStatus;
use crate::domain::cache::invalidation::is_safe;
use crate::domain::policy::{self, Admission};
use crate::domain::rule::location::Asked;
use crate::domain::uri::query;
use crate::origin::OriginError;

use super::Edge;
use super::error::EdgeError;
use super::obtain::{Object, Obtained};
use super::property::Property;
use super::ruling::{Course, Ruled, Ruling};
use super::serve::{Hop, facts, head};
use super::target::{Target, join, origin_query};
use super::wanted::{Place, Wanted};

/// Whether the origin's answer is a redirect that is to be followed here, should it lead to this site. A segment that is
/// encrypted here has the key of the path under which its playlist names it: it cannot be another's.
pub fn is_followed_here(
    property: &Property,
    wanted: &Wanted<'_>,
    admission: &Admission<'_>,
    obtained: &Obtained,
) -> bool {
    obtained.is_redirect()
        && is_safe(&wanted.method)
        && loses_its_token(admission)
        && property.encryption.is_none()
}

/// Whether a viewer who follows a redirect by itself would come without what admitted it. A cookie comes along, and who
/// sends a header of its own accord sends it there, too.
const fn loses_its_token(admission: &Admission<'_>) -> bool {
    match admission {
        Admission::Session { place, .. } => matches!(place, policy::Place::Path | policy::Place::Query),
        Admission::Access { .. } => true,
        Admission::Open | Admission::Unverified(_) => false,
    }
}

impl Obtained {
    fn is_redirect(&self) -> bool {
        self.head().0.is_redirection()
    }

    fn head(&self) -> (StatusCode, &HeaderMap) {
        match self {
            // A playlist is kept only of a 200.
            Self::Shared(Object::Playlist(playlist)) => (StatusCode::OK, &playlist.headers),
            Self::Shared(Object::Whole(head, _)) => (head.status, &head.headers),
            Self::Stream(answer) => (answer.status(), answer.headers()),
            Self::Found(found) => (found.meta().status, &found.meta().headers),
        }
    }
}

impl Edge {
    /// Goes where the origin's redirect leads, as long as that is on this site and the viewer may have what is there; with
    /// the document, the place where it is, unless it did not move.
    pub(super) async fn follow<'a>(
        &self,
        property: &Arc<Property>,
        hop: Hop<'_, 'a>,
        first: &Wanted<'a>,
        mut obtained: Obtained,
        course: &mut Course,
        report: &mut CacheStatus<'static>,
    ) -> Result<(Option<Wanted<'a>>, Obtained), EdgeError> {
        let now = hop.caller.now;
        let hops_max = property.upstream(&first.place).site_redirects;
        let mut moved = None;
        for _ in 0..hops_max {
            let from = moved.as_ref().unwrap_or(first);
            let Some(uri) = place_here(property, from, &obtained) else { return Ok((moved, obtained)) };
            let place = admitted_place(property, &hop, &first.place.site, &uri, course, now)?;
            let next = first.moved_to(place);
            obtained = self.obtain(property, &next, now, report).await?;
            moved = Some(next);
        }
        let last = moved.as_ref().unwrap_or(first);
        if hops_max > 0 && place_here(property, last, &obtained).is_some() {
            return Err(OriginError::Redirects(hops_max).into());
        }
        Ok((moved, obtained))
    }
}

/// Path and query to which a redirect leads on this same site.
fn place_here(property: &Property, wanted: &Wanted<'_>, obtained: &Obtained) -> Option<Uri> {
    let (status, headers) = obtained.head();
    let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let mut locations = headers.get_all(LOCATION).iter().filter(|_| leads);
    let (Some(location), None) = (locations.next(), locations.next()) else { return None };
    let location = location.to_str().ok()?;
    let here = property.upstream(&wanted.place).source.place_on_site(location);
    let current = Url::parse(&wanted.place.url()).ok()?;
    let target = current.join(here.as_deref().unwrap_or(location)).ok()?;
    let is_here = target.origin() == current.origin()
        && target.username().is_empty()
        && target.password().is_none()
        // It would be read as a host in a playlist's reference.
        && !target.path().starts_with("//");
    let path_and_query = join(target.path(), target.query().unwrap_or_default());
    path_and_query.parse().ok().filter(|_| is_here)
}

/// The place that a redirect names, once token and rules have let the viewer in there as if it had asked for it. A token
/// that the origin wrote into it counts for nothing.
fn admitted_place(
    property: &Property,
    hop: &Hop<'_, '_>,
    site: &str,
    uri: &Uri,
    course: &mut Course,
    now: Duration,
) -> Result<Place, EdgeError> {
    let leads = Target::read(uri, property)?;
    let tokens = query::only(hop.target.query, &property.rules.token_names);
    let plain = leads.plain_query.as_ref();
    let query = [plain, &tokens].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
    let target = Target {
        path: leads.path,
        raw_path: leads.raw_path,
        query: &query,
        plain_query: plain.into(),
        path_token: hop.target.path_token,
        access_in_path: hop.target.access_in_path.clone(),
        depth: 0,
    };
    let shown = join(&target.raw_path, &query);
    let request = target.asked(head(hop.parts, hop.caller, &shown), hop.caller.client, hop.whereabouts);
    let facts = facts(hop.parts, hop.caller, &target, hop.whereabouts);
    let link = Asked { site, query: &target.plain_query };
    *course = Course::default();
    let Ruled { treatment, .. } = Ruling::judge(property, &request, &facts, link, course, now)?;
    let query = origin_query(&target.plain_query, property.query_rule(treatment.as_deref()));
    Ok(Place { site: site.to_owned(), path: target.path.clone(), query, treatment, is_moved: true })
}
