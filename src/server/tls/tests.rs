//! Reading certificates from files, and choosing among them.

use std::fs;

use rcgen::{CertificateParams, CertifiedKey as Generated, KeyPair, date_time_ymd};

use super::*;

const NOW: Duration = Duration::from_secs(1_790_000_000);

struct Files {
    _folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

fn write(certificate: &str, key: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let files = Files {
        certificate: folder.path().join("server.pem"),
        key: folder.path().join("server.key"),
        _folder: folder,
    };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    files
}

fn generate(names: &[&str]) -> Generated<KeyPair> {
    rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .unwrap()
}

fn load(files: &Files) -> Result<Certificate, TlsError> {
    load_certificate(&files.certificate, &files.key, NOW)
}

fn certificate(names: &[&str]) -> Certificate {
    let generated = generate(names);
    load(&write(&generated.cert.pem(), &generated.signing_key.serialize_pem())).unwrap()
}

#[test]
fn a_certificate_and_its_key_load_with_their_names() {
    let certificate = certificate(&["Example.com", "*.video.example.com", "192.0.2.1"]);
    assert_eq!(certificate.names(), ["example.com", "*.video.example.com"]);
    assert!(certificate.not_after() > NOW);
}

#[test]
fn errors_name_the_file_and_the_cure() {
    let generated = generate(&["a.test"]);
    let (certificate, key) = (generated.cert.pem(), generated.signing_key.serialize_pem());
    let missing =
        load_certificate(Path::new("/nowhere/a.pem"), Path::new("/nowhere/a.key"), NOW).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/a.pem"), "{missing}");
    let empty = load(&write("no PEM", &key)).unwrap_err();
    assert!(matches!(&empty, TlsError::NoCertificate(path) if path.ends_with("server.pem")), "{empty}");
    let keyless = load(&write(&certificate, &certificate)).unwrap_err();
    assert!(matches!(&keyless, TlsError::NoKey(path) if path.ends_with("server.key")), "{keyless}");
    let other = generate(&["a.test"]).signing_key.serialize_pem();
    let mismatch = load(&write(&certificate, &other)).unwrap_err();
    assert!(matches!(mismatch, TlsError::KeyMismatch { .. }), "{mismatch}");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let malformed = load(&write(junk, &key)).unwrap_err();
    assert!(matches!(malformed, TlsError::Malformed { .. }), "{malformed}");
}

#[test]
fn an_expired_certificate_loads_and_says_when() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["old.test".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let loaded = load(&write(&certificate.pem(), &key.serialize_pem())).unwrap();
    assert_eq!(loaded.not_after(), Duration::from_hours(438_288));
}

#[test]
fn names_choose_the_certificate_exact_before_wildcard_before_default() {
    let [default, wildcard, exact] =
        [certificate(&["a.test"]), certificate(&["*.b.test"]), certificate(&["x.b.test"])];
    let given = vec![default.clone(), wildcard.clone(), exact.clone()];
    let by_name = ByName::new(&Sources { given, managed: Managed::default() });
    let is =
        |name: &str, expected: &Certificate| Arc::ptr_eq(by_name.choose(Some(name)).unwrap(), &expected.key);
    assert!(Arc::ptr_eq(by_name.choose(None).unwrap(), &default.key));
    assert!(is("a.test", &default));
    assert!(is("y.b.test", &wildcard));
    assert!(is("x.b.test", &exact));
    assert!(is("z.y.b.test", &default));
    assert!(is("b.test", &default));
}

#[test]
fn an_empty_list_is_refused_and_keeps_what_was() {
    assert!(matches!(Certificates::new(&[]), Err(TlsError::NoneGiven)));
    let first = certificate(&["a.test"]);
    let certificates = Certificates::new(std::slice::from_ref(&first)).unwrap();
    assert!(certificates.replace(&[]).is_err());
    assert!(Arc::ptr_eq(certificates.in_use.load().default.as_ref().unwrap(), &first.key));
}

#[test]
fn a_name_that_waits_for_its_certificate_is_served_no_other() {
    let [given, wildcard] = [certificate(&["a.test"]), certificate(&["*.b.test"])];
    let certificates = Certificates::with_managed(Vec::new());
    assert!(certificates.in_use.load().choose(Some("a.test")).is_none());
    assert!(certificates.in_use.load().choose(None).is_none());
    certificates.replace(&[given.clone(), wildcard.clone()]).unwrap();
    let names = HashSet::from(["c.test".to_owned(), "x.b.test".to_owned()]);
    certificates.manage(Managed { certificates: Vec::new(), names: names.clone() });
    let is = |name: &str, expected: &Certificate| {
        certificates.in_use.load().choose(Some(name)).is_some_and(|key| Arc::ptr_eq(key, &expected.key))
    };
    assert!(certificates.in_use.load().choose(Some("c.test")).is_none());
    assert!(is("x.b.test", &wildcard) && is("d.test", &given));
    let obtained = certificate(&["c.test", "d.test"]);
    let certificate = obtained.clone().only_for(&["c.test".to_owned()]);
    certificates.manage(Managed { certificates: vec![certificate], names });
    assert!(is("c.test", &obtained) && is("d.test", &given));
    certificates.manage(Managed::default());
    assert!(is("c.test", &given));
}
