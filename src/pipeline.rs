//! One sample's journey: scraped, stored, judged, routed, recorded, sent.

pub mod hub;
