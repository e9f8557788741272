use super::*;

/// The credentials of the examples in the Amazon S3 API reference.
fn of_the_reference() -> Credentials {
    Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: Secret::from_text("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap(),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    }
}

/// The credentials of `aws-sig-v4-test-suite`.
fn of_the_suite() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::from_text("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap(),
        region: "us-east-1".to_owned(),
        service: "service".to_owned(),
    }
}

/// 2013-05-24T00:00:00Z.
const REFERENCE_TIME: Duration = Duration::new(1_369_353_600, 0);
/// 2015-08-30T12:36:00Z.
const SUITE_TIME: Duration = Duration::new(1_440_938_160, 0);

fn signature(authorization: &str) -> &str {
    authorization.rsplit("Signature=").next().unwrap()
}

fn of_reference(path: &str, query: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("x-amz-date", "20130524T000000Z"),
        ("host", "examplebucket.s3.amazonaws.com"),
        ("x-amz-content-sha256", EMPTY_PAYLOAD),
    ];
    fields.extend(more);
    let request = Signable { method: "GET", path, query, fields: &fields, payload_hash: EMPTY_PAYLOAD };
    of_the_reference().authorization(&request, REFERENCE_TIME)
}

fn of_suite(method: &str, path: &str, query: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
    fields.extend(more);
    let request = Signable { method, path, query, fields: &fields, payload_hash: EMPTY_PAYLOAD };
    of_the_suite().authorization(&request, SUITE_TIME)
}

/// "Example: GET Object" of the Amazon S3 API reference.
#[test]
fn the_example_get_object_of_the_s3_reference_holds() {
    assert_eq!(
        of_reference("/test.txt", "", &[("range", "bytes=0-9")]),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

/// "Example: GET Bucket Lifecycle" and "Example: Get Bucket (List Objects)" of the Amazon S3 API reference.
#[test]
fn the_examples_with_a_query_of_the_s3_reference_hold() {
    for (query, expected) in [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ] {
        assert_eq!(signature(&of_reference("/", query, &[])), expected, "{query}");
    }
}

/// A case of `aws-sig-v4-test-suite`: its name, method, path, query, further fields, and the signature.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

const UTF8: &str = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85";

#[rustfmt::skip]
const SUITE: [Case<'_>; 14] = [
    ("get-vanilla", "GET", "/", "", &[], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("post-vanilla", "POST", "/", "", &[], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("get-utf8", "GET", "/ሴ", "", &[], UTF8),
    ("get-utf8, escaped", "GET", "/%e1%88%B4", "", &[], UTF8),
    ("get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", &[],
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-vanilla-empty-query-key", "GET", "/", "Param1=value1", &[],
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query-order-key", "GET", "/", "Param1=value2&Param1=Value1", &[],
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
    ("get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", &[],
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-order-value", "GET", "/", "Param1=value2&Param1=value1", &[],
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
    ("get-vanilla-query-unreserved", "GET", "/",
        "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\
         =-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", &[],
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-utf8-query", "GET", "/", "ሴ=bar", &[],
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("get-header-value-order", "GET", "/", "", &[("my-header1", "value4,value1,value3,value2")],
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("get-header-value-trim", "GET", "/", "", &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("get-space", "GET", "/example space/", "", &[],
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
];

/// The cases of the suite that hold under S3's rules: of those below `normalize-path`, which are for other services,
/// only `get-space` does.
#[test]
fn the_aws_test_suite_holds() {
    for (name, method, path, query, fields, expected) in SUITE {
        assert_eq!(signature(&of_suite(method, path, query, fields)), expected, "{name}");
    }
}

/// "You do not normalize URI paths for requests to Amazon S3."
#[test]
fn a_path_is_not_normalised_for_s3() {
    let canonical_path = |path| {
        let request = Signable { method: "GET", path, query: "", fields: &[], payload_hash: EMPTY_PAYLOAD };
        canonical(&request).0.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(canonical_path("/my-object//example//photo.user"), "/my-object//example//photo.user");
    assert_eq!(canonical_path("/a/../b/./c"), "/a/../b/./c");
    assert_eq!(canonical_path("/a%2bb%20c%7e+%"), "/a%2Bb%20c~%2B%25");
    assert_eq!(canonical_path("/hdntl=exp=1~acl=%2f*/1.ts"), "/hdntl%3Dexp%3D1~acl%3D/%2A/1.ts");
}

#[test]
fn a_plus_in_a_query_is_a_space_and_in_a_path_is_itself() {
    let request = Signable {
        method: "GET",
        path: "/a+b",
        query: "c+d=e+f%2Bg",
        fields: &[],
        payload_hash: EMPTY_PAYLOAD,
    };
    let canonical = canonical(&request).0;
    let lines: Vec<&str> = canonical.lines().skip(1).take(2).collect();
    assert_eq!(lines, ["/a%2Bb", "c%20d=e%20f%2Bg"]);
}

/// What botocore 1.44.5 (`S3SigV4Auth`, at the time and with the credentials of the reference) signs: paths that only S3
/// leaves as they are, and escapes in path and query.
#[test]
fn odd_paths_are_signed_as_botocore_signs_them() {
    for (path, query, expected) in [
        ("/a//b/../c/./d.ts", "", "d908a421d6c9b1b9179f4dc674c887769520e71991bf345b2f90439f31f4a515"),
        ("/a%20b/%C3%A9%2B~.ts", "", "74926fdbfb4d2c9321b2e7e0ebc63e9951966a8acabf4868db50f7d65caa8e61"),
        (
            "/live/hdntl%3Dx/%28a%29%27%21%2A.m3u8",
            "",
            "128c93a74ecc1b6f88650d5067a67595065d4d0e558a22a200470c0178379f13",
        ),
        (
            "/k.ts",
            "versionId=3%2F4&response-content-type=video%2Fmp2t&a",
            "3bd4576128196a21c506ccfb451f2c1574c7e7b54c866f2a521c32eec24bd06e",
        ),
        ("/x.ts", "b=2&a=%C3%A9&a=1&c=", "6f545244e6e5486d8f1204903c7d1392c03df75ea6cca4498427814654db4afb"),
    ] {
        assert_eq!(signature(&of_reference(path, query, &[])), expected, "{path}?{query}");
    }
}

#[test]
fn times_are_written_as_aws_writes_them() {
    for (seconds, expected) in [
        (0, "19700101T000000Z"),
        (951_782_399, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"),
        (1_369_353_600, "20130524T000000Z"),
        (1_440_938_160, "20150830T123600Z"),
        (4_107_542_399, "21000228T235959Z"),
        (4_107_542_400, "21000301T000000Z"),
    ] {
        assert_eq!(timestamp(Duration::from_secs(seconds)), expected);
    }
}

#[test]
fn no_secret_is_printed() {
    assert!(!format!("{:?}", of_the_suite()).contains("wJalr"));
}
