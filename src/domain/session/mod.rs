//! Session tokens: minted after an access token verified, propagated through playlists, verified on every request.
