//! `sluicegate cert`: a local authority and a certificate by it, for development.
//!
//! The authority's own key is not written anywhere: nobody can make further certificates that its owner's browser would
//! trust. A new certificate therefore means a new authority.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Makes a certificate for development, and the authority to trust it by.
#[derive(Debug, clap::Args)]
pub struct CertArgs {
    /// The folder to write ca.pem, dev.pem and dev.key into
    #[arg(long, value_name = "FOLDER", default_value = "certs")]
    pub out: PathBuf,
    /// A DNS name or address that the certificate is for; may be given several times
    #[arg(long = "host", value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    pub hosts: Vec<String>,
    /// How long the certificate is valid, up to 825 days, beyond which clients refuse it
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=825))]
    pub days: u32,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// Why no certificate was written.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    #[error("{} is there already. Give --force to replace it, or --out for another folder", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "no certificate can be made for these names: {0}. A name is a DNS name such as video.example or an address"
    )]
    Generate(#[from] rcgen::Error),
    #[error("cannot print what was written: {0}")]
    Print(#[source] io::Error),
}

/// Three files in PEM.
#[derive(Debug)]
struct Material {
    authority: String,
    certificate: String,
    key: String,
}

/// Writes the files and says on `output` which, and how to trust them. `now` is since the Unix epoch.
pub fn run(args: &CertArgs, now: Duration, output: &mut impl Write) -> Result<(), CertError> {
    let path = |name: &str| args.out.join(name);
    let (authority, certificate, key) = (path("ca.pem"), path("dev.pem"), path("dev.key"));
    if !args.force {
        for path in [&authority, &certificate, &key] {
            if path.symlink_metadata().is_ok() {
                return Err(CertError::Exists(path.clone()));
            }
        }
    }
    let material = generate(&args.hosts, args.days, now)?;
    fs::create_dir_all(&args.out).map_err(|source| CertError::Write { path: args.out.clone(), source })?;
    write_file(&authority, &material.authority, 0o644)?;
    write_file(&certificate, &material.certificate, 0o644)?;
    write_file(&key, &material.key, 0o600)?;
    let hosts = args.hosts.join(", ");
    writeln!(
        output,
        "Wrote {ca} (the authority), {pem} (for {hosts}; {days} days) and {key} (its key).\n\n\
         To trust it:\n  \
         curl      curl --cacert {ca} https://…\n  \
         Debian    sudo cp {ca} /usr/local/share/ca-certificates/sluicegate-dev.crt && sudo update-ca-certificates\n  \
         macOS     security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {ca}\n  \
         Firefox   Settings > Certificates > Authorities > Import, {ca}\n  \
         Chromium  chrome://certificate-manager > Custom > Trusted certificates > Import, {ca}",
        ca = authority.display(),
        pem = certificate.display(),
        key = key.display(),
        days = args.days,
    )
    .map_err(CertError::Print)
}

fn generate(hosts: &[String], days: u32, now: Duration) -> Result<Material, rcgen::Error> {
    const DAY: Duration = Duration::from_hours(24);
    let epoch = date_time_ymd(1970, 1, 1);
    // Clocks of devices under test may be behind.
    let (not_before, not_after) = (epoch + now.saturating_sub(DAY), epoch + now + DAY * days);

    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Sluicegate development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (not_before, not_after);
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let mut params = CertificateParams::new(hosts)?;
    if let Some(host) = hosts.first() {
        params.distinguished_name.push(DnType::CommonName, host.as_str());
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (not_before, not_after);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Material { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Writes beside the path and renames, so that the mode holds from the first byte and no reader sees half a file.
fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let beside = path.with_extension("new");
    let written = (|| {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        options.open(&beside)?.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    })();
    written.map_err(|source| CertError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn args(out: &Path) -> CertArgs {
        CertArgs {
            out: out.to_owned(),
            hosts: vec!["localhost".into(), "::1".into()],
            days: 30,
            force: false,
        }
    }

    fn der(pem: &str) -> Vec<u8> {
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
    }

    #[test]
    fn what_is_written_is_said_and_lives_as_long_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/certs");
        let mut said = Vec::new();
        run(&args(&out), NOW, &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("ca.pem") && said.contains("localhost, ::1"), "{said}");
        let certificate = der(&fs::read_to_string(out.join("dev.pem")).unwrap());
        let validity = X509Certificate::from_der(&certificate).unwrap().1.validity().clone();
        let end = NOW + Duration::from_hours(30 * 24);
        assert_eq!(u64::try_from(validity.not_after.timestamp()).unwrap(), end.as_secs());
        assert!(u64::try_from(validity.not_before.timestamp()).unwrap() < NOW.as_secs());
    }

    #[test]
    fn the_authority_signed_the_certificate() {
        let material = generate(&["localhost".into()], 1, NOW).unwrap();
        let (authority, certificate) = (der(&material.authority), der(&material.certificate));
        let authority = X509Certificate::from_der(&authority).unwrap().1;
        let certificate = X509Certificate::from_der(&certificate).unwrap().1;
        assert!(authority.is_ca() && !certificate.is_ca());
        assert_eq!(certificate.issuer(), authority.subject());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        run(&args(folder.path()), NOW, &mut Vec::new()).unwrap();
        let mode = fs::metadata(folder.path().join("dev.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn files_that_are_there_stay_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        run(&args(folder.path()), NOW, &mut Vec::new()).unwrap();
        let before = fs::read(folder.path().join("dev.key")).unwrap();
        let refused = run(&args(folder.path()), NOW, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(refused, CertError::Exists(_)) && refused.to_string().contains("--force"),
            "{refused}"
        );
        assert_eq!(fs::read(folder.path().join("dev.key")).unwrap(), before);
        run(&CertArgs { force: true, ..args(folder.path()) }, NOW, &mut Vec::new()).unwrap();
        assert_ne!(fs::read(folder.path().join("dev.key")).unwrap(), before);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let args = CertArgs { hosts: vec!["bücher.example".into()], ..args(folder.path()) };
        assert!(matches!(run(&args, NOW, &mut Vec::new()), Err(CertError::Generate(_))));
        assert!(!folder.path().join("dev.pem").exists());
    }
}
