//! Which build this is.

/// The version, and behind it in parentheses the commit and its day, where the build knew them.
pub const VERSION: &str = env!("SLUICEGATE_BUILD_VERSION");

/// The commit that the program was built from, where the build knew it.
pub const COMMIT: Option<&str> = option_env!("SLUICEGATE_BUILD_COMMIT");
