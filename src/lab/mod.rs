//! The lab: everything for testing players without a network.
