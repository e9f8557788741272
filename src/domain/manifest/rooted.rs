//! A document that stands at another URL than the one it was asked under: its references said from the root of the site.

use super::shape::{Climb, PathForm};
use super::template::Template;

impl Template {
    /// The source with its own directory in front of every relative reference. Whatever the template left alone stays.
    pub fn rooted(&self) -> Vec<u8> {
        let mut rooted = Vec::with_capacity(self.source.len() + self.points.len() * self.directory.len());
        let mut position = 0;
        for point in self.points.iter().filter(|point| point.climb != Climb::ROOTED) {
            let start = point.start as usize;
            rooted.extend_from_slice(&self.source[position..start]);
            rooted.extend_from_slice(self.directory.as_bytes());
            if point.path_form == PathForm::SameDocument {
                rooted.extend_from_slice(self.last_segment.as_bytes());
            }
            position = start;
        }
        rooted.extend_from_slice(&self.source[position..]);
        rooted
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::domain::manifest::Options;
    use crate::domain::manifest::base::{Base, Hosts};

    use super::*;

    #[test]
    fn relative_references_are_said_from_the_root() {
        let base = Base::parse("https://edge.example/b/c/moved.m3u8?q=1").unwrap();
        let hosts = Hosts::new(&["edge.example"], &[] as &[&str]).unwrap();
        let rooted = |source: &'static str| {
            let source = Bytes::from_static(source.as_bytes());
            let template = Template::compile(&source, &base, &hosts, "hdntl", &Options::default()).unwrap();
            String::from_utf8(template.rooted()).unwrap()
        };
        assert_eq!(
            rooted(
                "#EXTM3U\n#EXT-X-DEFINE:NAME=\"n\",VALUE=\"x\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"../k.key\"\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:4,\ns0.ts\n#EXTINF:4,\n{$n}/s1.ts?a=1\n#EXTINF:4,\n?s=2\n"
            ),
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"n\",VALUE=\"x\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"/b/c/../k.key\"\n#EXT-X-MAP:URI=\"/b/c/init.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:4,\n/b/c/s0.ts\n#EXTINF:4,\n/b/c/{$n}/s1.ts?a=1\n#EXTINF:4,\n/b/c/moved.m3u8?s=2\n"
        );
        let left = "#EXTM3U\n#EXTINF:4,\n/a/s0.ts\n#EXTINF:4,\nhttps://other.example/s1.ts\n#EXTINF:4,\nhttps://edge.example/s2.ts\n#EXTINF:4,\ndata:x\n";
        assert_eq!(rooted(left), left);
    }
}
