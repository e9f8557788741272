//! The flags of `sluicegate token`; those of the SDKs, in their spellings.

use clap::{Args, Subcommand};

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
    Mint(MintArgs),
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
    /// Name of the access token
    #[arg(short = 'n', long, alias = "token_name", default_value = "hdnts")]
    pub token_name: String,
    /// The key, in hex; better given by the environment
    #[arg(short, long, env = "SLUICEGATE_KEY", hide_env_values = true, allow_hyphen_values = true)]
    pub key: Option<String>,
    /// sha256, sha1 or md5
    #[arg(short = 'A', long, alias = "algorithm", default_value = "sha256")]
    pub algo: String,
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
    /// The one URL it opens: a path, with its query
    #[arg(short, long)]
    pub url: Option<String>,
    /// A pattern of the paths it opens, such as "/live/*"; may be repeated
    #[arg(short, long)]
    pub acl: Vec<String>,
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

#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// A URL with a token, or a token, with or without its name
    #[arg(allow_hyphen_values = true)]
    pub input: String,
    /// Name of the access token
    #[arg(short = 'n', long, alias = "token_name", default_value = "hdnts")]
    pub token_name: String,
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
