//! The flags of `sluicegate token`; those of the SDKs, in their spellings.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Sign an access token and print it as name=token
    ///
    /// To build a URL: `/path?$(sluicegate token mint ...)`. With --value the token stands alone, as in
    /// `?hdnts=$(sluicegate token mint --value ...)`.
    Mint(Box<MintArgs>),
    /// Show what a token says; needs no key and judges nothing
    Inspect(InspectArgs),
    /// Say whether a token is good: exit code 0, or 1 when it is refused
    Verify(JudgeArgs),
    /// Show what was signed, how each check comes out, and the cure for common mistakes
    Explain(JudgeArgs),
}

/// What signing and verifying have to agree on.
#[derive(Clone, Debug, Args)]
pub struct SigningArgs {
    /// Name of the access token; unless given, the dialect's: hdnts, st, edge-cache-token, `URISigningPackage`, CAT
    #[arg(short = 'n', long, alias = "token_name")]
    pub token_name: Option<String>,
    #[command(flatten)]
    pub other: DialectArgs,
    #[command(flatten)]
    pub claims: ClaimArgs,
    /// The key, in hex unless --key-encoding says otherwise; better given by the environment
    #[arg(short, long, env = "SLUICEGATE_KEY", hide_env_values = true, allow_hyphen_values = true)]
    pub key: Option<String>,
    /// sha256 (unless given), sha1 or md5; for jwt and cat HS256, ES256, `EdDSA` … (unless given: as the key has it)
    #[arg(short = 'A', long, alias = "algorithm")]
    pub algo: Option<String>,
    /// Hashed with the token, but never in it
    #[arg(short = 'S', long, allow_hyphen_values = true)]
    pub salt: Option<String>,
    /// Escape URL, ip, id and payload before signing
    #[arg(short = 'x', long, alias = "escape_early")]
    pub escape_early: bool,
    /// What separates fields
    #[arg(short = 'd', long, alias = "field_delimiter", default_value = "~", allow_hyphen_values = true)]
    pub field_delimiter: String,
    /// What separates the patterns of an ACL
    #[arg(short = 'D', long, alias = "acl_delimiter", default_value = "!", allow_hyphen_values = true)]
    pub acl_delimiter: String,
    /// The time to act by, in Unix seconds, instead of the clock's
    #[arg(long, allow_hyphen_values = true)]
    pub now: Option<String>,
}

/// What an access token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    #[default]
    Edgeauth,
    #[value(name = "secure_link", alias = "secure-link")]
    SecureLink,
    #[value(name = "media_cdn", alias = "media-cdn")]
    MediaCdn,
    /// RFC 9246, or JWTs with claims of your own
    Jwt,
    /// CTA-5007
    Cat,
}

/// What the claims of a JWT are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClaimProfile {
    /// RFC 9246
    #[default]
    UriSigning,
    Plain,
}

impl Dialect {
    /// The name of the token, unless another is given.
    pub const fn token_name(self) -> &'static str {
        match self {
            Self::Edgeauth => "hdnts",
            Self::SecureLink => "st",
            Self::MediaCdn => "edge-cache-token",
            Self::Jwt => "URISigningPackage",
            Self::Cat => "CAT",
        }
    }

    /// The name of the header field, unless another is given.
    pub const fn header_name(self) -> &'static str {
        match self {
            Self::Edgeauth | Self::SecureLink | Self::MediaCdn | Self::Jwt => self.token_name(),
            Self::Cat => "CTA-Common-Access-Token",
        }
    }
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyEncoding {
    Hex,
    Base64,
    Text,
}

/// What tokens of claims have to agree on.
#[derive(Clone, Debug, Args)]
pub struct ClaimArgs {
    /// jwt, cat: keys in a file: PEM, a JWK, or a JWK set; with a private key to mint, a public one is enough to verify
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// jwt, cat: the key's id, as the configuration names it
    #[arg(long)]
    pub kid: Option<String>,
    /// jwt, cat: who signs (iss); when judging, every issuer that may sign with these keys
    #[arg(long)]
    pub issuer: Vec<String>,
    /// jwt, cat: for whom (aud); when judging, our own names; may be repeated
    #[arg(long)]
    pub audience: Vec<String>,
    /// jwt: what the claims are
    #[arg(long, value_enum, default_value_t)]
    pub profile: ClaimProfile,
    /// jwt, plain: the claim with the patterns of paths
    #[arg(long, default_value = "paths")]
    pub paths_claim: String,
    /// jwt, plain: the claim with the session id
    #[arg(long, default_value = "sub")]
    pub session_id_claim: String,
    /// jwt, plain: the claim with the client's address or network
    #[arg(long, default_value = "")]
    pub address_claim: String,
    /// jwt: sub and cdniip stand in the clear, against RFC 9246
    #[arg(long)]
    pub clear_personal_data: bool,
}

/// Claims that a token is minted with.
#[derive(Clone, Debug, Args)]
pub struct MintClaimArgs {
    /// jwt, cat: claims in JSON, to which the other flags are added
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
    /// jwt: a POSIX expression that the whole URL has to match (cdniuc)
    #[arg(long, value_name = "EXPRESSION")]
    pub url_regex: Option<String>,
    /// jwt: the token's own id, by which it is good once
    #[arg(long)]
    pub jti: Option<String>,
    /// cat: the token's own id, in hex
    #[arg(long)]
    pub cti: Option<String>,
    /// cat: a condition on a part of the URL, such as path=prefix-match:/live/ or extension=exact-match:.m3u8; may be repeated
    #[arg(long, value_name = "PART=KIND:VALUE")]
    pub catu: Vec<String>,
    /// cat: a condition on a header field, such as user-agent=contains-match:Player; may be repeated
    #[arg(long, value_name = "FIELD=KIND:VALUE")]
    pub cath: Vec<String>,
    /// cat: methods, separated by commas
    #[arg(long)]
    pub catm: Option<String>,
    /// cat: countries, separated by commas
    #[arg(long)]
    pub catgeoiso3166: Option<String>,
    /// cat: 0 (may be used again), 1 (good once), 2 (reuse is to be detected)
    #[arg(long)]
    pub catreplay: Option<String>,
}

/// What the other dialects have to agree on.
#[derive(Clone, Debug, Args)]
pub struct DialectArgs {
    /// What the token is
    #[arg(long, value_enum, default_value_t)]
    pub dialect: Dialect,
    /// How the key is written; unless given: hex (edgeauth, jwt, cat), text (`secure_link`), base64 (`media_cdn`)
    #[arg(long, value_enum)]
    pub key_encoding: Option<KeyEncoding>,
    /// `secure_link`: what is hashed, with $secret in the secret's place
    #[arg(long, default_value = "$secret$uri$expires")]
    pub expression: String,
    /// `secure_link`: the parameter with the end
    #[arg(long, default_value = "e")]
    pub expires_name: String,
    /// `secure_link`: what stands before a token in a path, such as /p
    #[arg(long)]
    pub path_prefix: Option<String>,
    /// `media_cdn`: the key is Ed25519, private to mint and public to verify
    #[arg(long)]
    pub ed25519: bool,
    /// A request header, as name=value: signed when minting (`media_cdn`), sent when judging; may be repeated
    #[arg(long = "request-header", value_name = "NAME=VALUE")]
    pub request_headers: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct MintArgs {
    #[command(flatten)]
    pub signing: SigningArgs,
    /// First second in which the token is good: Unix seconds, or "now"
    #[arg(short, long, alias = "start_time", allow_hyphen_values = true)]
    pub start_time: Option<String>,
    /// Second in which it ends; wins over the window
    #[arg(short, long, alias = "end_time", allow_hyphen_values = true)]
    pub end_time: Option<String>,
    /// Seconds from the start, or from now, until it ends
    #[arg(short, long, aliases = ["window_seconds", "window-seconds"], allow_hyphen_values = true)]
    pub window: Option<String>,
    /// The one URL it opens: a path, with its query; for jwt (RFC 9246) with scheme and host
    #[arg(short, long)]
    pub url: Option<String>,
    /// A pattern of the paths it opens, such as "/live/*"; may be repeated
    #[arg(short, long)]
    pub acl: Vec<String>,
    /// `media_cdn`, jwt, cat: the beginning of the URLs it opens, with scheme and host
    #[arg(long)]
    pub url_prefix: Option<String>,
    /// `media_cdn`, jwt, cat: the networks it is for, separated by commas; for cat also numbers of autonomous systems
    #[arg(long)]
    pub ip_ranges: Option<String>,
    #[command(flatten)]
    pub claims: MintClaimArgs,
    /// The one client address it is for
    #[arg(short, long)]
    pub ip: Option<String>,
    /// A payload to carry
    #[arg(short, long, allow_hyphen_values = true)]
    pub payload: Option<String>,
    /// An id for the session
    #[arg(short = 'I', long, alias = "session_id", allow_hyphen_values = true)]
    pub session_id: Option<String>,
    /// Accepted for the SDKs' sake, and without effect
    #[arg(short = 't', long, alias = "token_type", hide = true)]
    pub token_type: Option<String>,
    /// Print "name: token", for a request header
    #[arg(long, conflicts_with = "value")]
    pub header: bool,
    /// Print the token without its name
    #[arg(long)]
    pub value: bool,
    /// Tell on stderr what is signed
    #[arg(short, long)]
    pub verbose: bool,
}

impl SigningArgs {
    /// The token's name, given or the dialect's.
    pub fn name(&self) -> &str {
        self.token_name.as_deref().unwrap_or(self.other.dialect.token_name())
    }

    /// The name of the header field with the token, given or the dialect's.
    pub fn header_name(&self) -> &str {
        self.token_name.as_deref().unwrap_or(self.other.dialect.header_name())
    }
}

impl InspectArgs {
    /// The token's name, given or the dialect's.
    pub fn name(&self) -> &str {
        self.token_name.as_deref().unwrap_or(self.dialect.token_name())
    }
}

#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// A URL with a token, or a token, with or without its name
    #[arg(allow_hyphen_values = true)]
    pub input: String,
    /// What the token is
    #[arg(long, value_enum, default_value_t)]
    pub dialect: Dialect,
    /// Name of the access token; unless given, the dialect's: hdnts, st, edge-cache-token, `URISigningPackage`, CAT
    #[arg(short = 'n', long, alias = "token_name")]
    pub token_name: Option<String>,
    /// Name of the session token
    #[arg(long, default_value = "hdntl")]
    pub session_name: String,
    /// What separates fields
    #[arg(short = 'd', long, alias = "field_delimiter", default_value = "~", allow_hyphen_values = true)]
    pub field_delimiter: String,
    /// The time to count from, in Unix seconds
    #[arg(long, allow_hyphen_values = true)]
    pub now: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct JudgeArgs {
    /// A URL with a token in its query or its path, or a token (then with --path)
    #[arg(allow_hyphen_values = true)]
    pub input: String,
    #[command(flatten)]
    pub signing: SigningArgs,
    /// The path that is asked for, with its query, when the input is a token
    #[arg(long)]
    pub path: Option<String>,
    /// A second key, tried when the first does not match
    #[arg(long, env = "SLUICEGATE_TRANSITION_KEY", hide_env_values = true, allow_hyphen_values = true)]
    pub transition_key: Option<String>,
    /// URL tokens are signed without the query
    #[arg(long)]
    pub ignore_query: bool,
    /// The client's address
    #[arg(long, default_value = "127.0.0.1")]
    pub client: String,
    /// The method of the request
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// cat: the client's country, two letters; unknown unless given
    #[arg(long)]
    pub country: Option<String>,
    /// cat: the number of the client's autonomous system; unknown unless given
    #[arg(long)]
    pub asn: Option<u32>,
    /// jwt, cat: judge as where uses are counted ([property.limits] `one_time`); the command itself counts none
    #[arg(long)]
    pub one_time: bool,
    /// cat: a claim that may be passed over, by name or number; may be repeated
    #[arg(long = "ignore-claim", value_name = "CLAIM")]
    pub ignore_claims: Vec<String>,
    /// Name of the session token
    #[arg(long, default_value = "hdntl")]
    pub session_name: String,
    /// The property whose sessions these are, as named in the configuration
    #[arg(long)]
    pub property: Option<String>,
    /// The values of the session's salt headers
    #[arg(long, default_value = "")]
    pub session_salt: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
