//! What HTTP says of keeping an answer (RFC 9110, 9111, 5861, 9211, 9213), as functions of `now`.
//!
//! * An answer comes: [`directives`] are read once, [`storable`] says whether it is kept and how
//!   [`freshness`] stands, [`vary`] notes what it was selected by, [`ranges::judge`] looks at parts.
//! * A request comes: [`key`] and [`vary`] find the stored answer, [`freshness::Freshness::serve`] says what
//!   may be done with it, [`precondition`] and [`ranges`] how much of it is sent, [`cache_status`] what is
//!   told about that.
//! * The origin is asked again: [`validation`] puts the question and merges the answer. [`invalidation`]
//!   follows a change.
//!
//! Times are Unix times, given as arguments. Nothing on the path of a hit allocates but the text of a header
//! field.

pub mod cache_status;
pub mod date;
pub mod directives;
pub mod entity_tag;
pub mod exchange;
pub mod freshness;
pub mod invalidation;
pub mod key;
pub mod lifetime;
mod list;
pub mod playlist;
pub mod precondition;
pub mod ranges;
pub mod rules;
pub mod storable;
mod structured;
pub mod targeted;
pub mod validation;
pub mod vary;
pub mod version;
pub mod written;
