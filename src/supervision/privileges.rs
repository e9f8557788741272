//! Whom the process runs as, once what only root may do is done: opening ports below 1024.

use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, setgid, setgroups, setuid};

/// A user and a group that the process becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Uid,
    group: Gid,
}

/// Why the process cannot become somebody else.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    #[error("[server] user: there is no user \"{0}\" here; name one that exists, or a number")]
    NoUser(String),
    #[error("[server] group: there is no group \"{0}\" here; name one that exists, or a number")]
    NoGroup(String),
    #[error("[server] user: \"{0}\" is root; name a user without rights, or leave the key out")]
    Root(String),
    #[error(
        "[server] group is missing: the user {0} stands in no list of users here, which would name its group"
    )]
    GroupUnknown(Uid),
    #[error("[server] user: only root can become another user; start as root, or leave the key out")]
    NotRoot,
    #[error("the process cannot become another user: {0}")]
    System(#[from] io::Error),
}

impl Identity {
    /// Looks a user up, by name or number, and its group where none is given.
    pub fn named(user: &str, group: Option<&str>) -> Result<Self, PrivilegesError> {
        let system = |error: Errno| PrivilegesError::System(error.into());
        let known = match user.parse::<u32>() {
            Ok(number) => User::from_uid(Uid::from_raw(number)).map_err(system)?,
            Err(_) => User::from_name(user).map_err(system)?,
        };
        let number = known.as_ref().map(|known| known.uid).or_else(|| user.parse().ok().map(Uid::from_raw));
        let number = number.ok_or_else(|| PrivilegesError::NoUser(user.to_owned()))?;
        if number.is_root() {
            return Err(PrivilegesError::Root(user.to_owned()));
        }
        let group = match (group, known) {
            (Some(group), _) => group_named(group)?,
            (None, Some(known)) => known.gid,
            (None, None) => return Err(PrivilegesError::GroupUnknown(number)),
        };
        Ok(Self { user: number, group })
    }

    /// Becomes it, for good; nothing where the process is it already. In every thread: libc sees to that.
    pub fn take(self) -> Result<(), PrivilegesError> {
        if (geteuid(), getegid()) == (self.user, self.group) {
            return Ok(());
        }
        if !geteuid().is_root() {
            return Err(PrivilegesError::NotRoot);
        }
        let system = |error: Errno| PrivilegesError::System(error.into());
        setgroups(&[self.group]).map_err(system)?;
        setgid(self.group).map_err(system)?;
        setuid(self.user).map_err(system)?;
        // Whoever can go back has not left.
        if setuid(Uid::from_raw(0)).is_ok() {
            return Err(PrivilegesError::System(io::Error::other("root's rights are still there")));
        }
        Ok(())
    }
}

fn group_named(group: &str) -> Result<Gid, PrivilegesError> {
    if let Ok(number) = group.parse() {
        return Ok(Gid::from_raw(number));
    }
    let known = Group::from_name(group).map_err(|error| PrivilegesError::System(error.into()))?;
    known.map(|known| known.gid).ok_or_else(|| PrivilegesError::NoGroup(group.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let nobody = Identity::named("nobody", None).unwrap();
        assert_eq!(Identity::named("65534", Some("65534")).unwrap(), nobody);
        let own = Identity::named("4242", Some("4243")).unwrap();
        assert_eq!(own, Identity { user: Uid::from_raw(4242), group: Gid::from_raw(4243) });
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let told = |user, group| Identity::named(user, group).unwrap_err().to_string();
        assert!(told("no such user", None).contains("no user \"no such user\""));
        assert!(told("nobody", Some("no such group")).contains("no group \"no such group\""));
        assert!(told("root", None).contains("\"root\" is root"));
        assert!(told("4242", None).contains("group is missing"));
    }
}
