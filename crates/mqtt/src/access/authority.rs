//! Decides who a client is, and later whether that still stands.
//!
//! The order of proofs: a certificate, else a token, else name and password, else nothing. A client that shows a
//! certificate is judged by it alone.

use super::certificate::{Certificate, Revoked};
use super::counters::{AccessCounters, Refused};
use super::error::AccessError;
use super::identity::{Identity, IdentityError};
use super::passwords::Verifier;
use super::policy::{Grants, Policy, Rules};
use super::tokens::{self, TokenConfig, TokenError, Tokens};
use super::users::{User, Users};
use crate::roles::Service;
use protocol::Name;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// What becomes of a client without credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// It may publish as any device of the site, and read.
    #[default]
    Device,
    /// It is refused.
    Refuse,
}

/// Where identities come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// What becomes of a client without credentials.
    pub anonymous: Anonymous,
    /// Whether such clients are let in from elsewhere than this machine.
    pub allow_anonymous_beyond_loopback: bool,
    /// The file of users.
    pub users: Option<PathBuf>,
    /// Which tokens are accepted.
    pub token: Option<TokenConfig>,
    /// The list of revoked certificates.
    pub revoked: Option<PathBuf>,
    /// The sites whose devices may come here.
    pub visitors: Vec<Name>,
}

impl AccessConfig {
    /// The files it names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let token = self.token.as_ref().map(|token| token.key.clone());
        [self.users.clone(), token, self.revoked.clone()].into_iter().flatten().collect()
    }
}

/// What a client shows when it connects.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Its client id.
    pub client_id: &'a str,
    /// Its user name.
    pub user: Option<&'a str>,
    /// Its password, or a token.
    pub password: Option<&'a [u8]>,
    /// The certificate that its connection was made with.
    pub certificate: Option<&'a Arc<Certificate>>,
    /// Whether it comes from this machine.
    pub local: bool,
    /// Now, in seconds since 1970.
    pub now_s: u64,
}

/// By what a client proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By nothing.
    Nothing,
    /// By a user's password.
    Password {
        /// The user.
        user: String,
    },
    /// By a certificate.
    Certificate {
        /// The certificate.
        certificate: Arc<Certificate>,
    },
    /// By a token.
    Token {
        /// Its subject.
        subject: String,
    },
}

/// A client that was let in.
#[derive(Clone)]
pub struct Admission {
    /// Who it is.
    pub identity: Identity,
    /// What it may do.
    pub rules: Arc<Rules>,
    /// How we know.
    pub proof: Proof,
    /// When it must go, in seconds since 1970.
    pub expires_at_s: Option<u64>,
    /// The user it is, if the file of users has it.
    user: Option<Arc<User>>,
}

/// What the files say.
struct State {
    policy: Policy,
    users: Users,
    tokens: Option<Tokens>,
    revoked: Revoked,
}

impl State {
    fn load(site: &Name, config: &AccessConfig) -> Result<Self, AccessError> {
        let users = config.users.as_ref().map(|path| Users::load(path, site)).transpose()?.unwrap_or_default();
        // the file was checked when it was read
        let policy = Policy::new(site.clone(), users.devices.clone()).map_err(|why| AccessError::Setting(why.to_string()))?;
        let policy = policy.with_visitors(config.visitors.clone());
        let tokens = config.token.as_ref().map(Tokens::load).transpose()?;
        let revoked = config.revoked.as_ref().map(|path| Revoked::load(path)).transpose()?.unwrap_or_default();
        Ok(Self { policy, users, tokens, revoked })
    }
}

/// Decides who a client is.
pub struct Authority {
    site: Name,
    config: AccessConfig,
    state: RwLock<Arc<State>>,
    barred: RwLock<HashSet<Identity>>,
    verifier: Verifier,
    counters: Arc<AccessCounters>,
}

impl Authority {
    /// The authority of `site`. Reads the files that `config` names.
    ///
    /// # Errors
    /// [`AccessError`] if one of them cannot be used, or the system gives no randomness.
    pub fn new(site: Name, config: AccessConfig, counters: Arc<AccessCounters>) -> Result<Self, AccessError> {
        let state = RwLock::new(Arc::new(State::load(&site, &config)?));
        let verifier = Verifier::new().map_err(|why| AccessError::Setting(why.to_string()))?;
        Ok(Self { site, config, state, barred: RwLock::default(), verifier, counters })
    }

    /// The sites whose devices may come here.
    #[must_use]
    pub fn visitors(&self) -> &[Name] {
        &self.config.visitors
    }

    /// What was refused.
    #[must_use]
    pub fn counters(&self) -> &Arc<AccessCounters> {
        &self.counters
    }

    /// Reads the files anew. If one cannot be used, all stays as it was.
    ///
    /// # Errors
    /// [`AccessError`] says which, and why.
    pub fn reload(&self) -> Result<(), AccessError> {
        let state = Arc::new(State::load(&self.site, &self.config)?);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.verifier.forget();
        Ok(())
    }

    /// Keeps a device out, or lets it in again, whatever it shows.
    pub fn bar(&self, device: Identity, barred: bool) {
        let mut all = self.barred.write().unwrap_or_else(PoisonError::into_inner);
        let _ = if barred { all.insert(device) } else { all.remove(&device) };
    }

    /// Whether any device is barred.
    #[must_use]
    pub fn bars_any(&self) -> bool {
        !self.barred.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether the site's device `id` is barred.
    #[must_use]
    pub fn is_barred(&self, id: &Name) -> bool {
        let barred = self.barred.read().unwrap_or_else(PoisonError::into_inner);
        !barred.is_empty() && barred.contains(&Identity::Device { site: self.site.clone(), id: id.clone() })
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who a client is.
    ///
    /// # Errors
    /// Why it is not let in.
    pub async fn authenticate(&self, attempt: &Attempt<'_>) -> Result<Admission, Refused> {
        let state = self.state();
        let (proof, expires_at_s) = self.prove(&state, attempt).await?;
        let (identity, user) = self.identify(&state, &proof)?;
        let identity = match identity {
            Identity::Gateway { name, .. } => Identity::Gateway { name, device: self.spoken_for(attempt.client_id)? },
            // a part of the site on this machine
            Identity::Anonymous if attempt.local => match Service::of(attempt.client_id, &self.site) {
                Some((service, _)) => Identity::Service { name: service.to_string() },
                None => Identity::Anonymous,
            },
            identity => identity,
        };
        let rules = self.judge(&state, &identity, user.as_deref())?;
        Ok(Admission { identity, rules, proof, expires_at_s, user })
    }

    /// Whether a client that was let in still would be, with the same rights. Passwords are not asked for again, but a
    /// changed one counts. That a token's or certificate's time is over is [`Admission::expires_at_s`]'s to say.
    ///
    /// # Errors
    /// Why not.
    pub fn stands(&self, admission: &Admission) -> Result<(), Refused> {
        let state = self.state();
        if let Proof::Certificate { certificate } = &admission.proof
            && state.revoked.has(certificate)
        {
            return Err(Refused::Revoked);
        }
        let (identity, user) = self.identify(&state, &admission.proof)?;
        let hash = |user: Option<&User>| user.and_then(|user| user.hash.clone());
        let changed = matches!(admission.proof, Proof::Password { .. }) && hash(user.as_deref()) != hash(admission.user.as_deref());
        let same = match (&identity, &admission.identity) {
            (Identity::Gateway { name, .. }, Identity::Gateway { name: before, .. }) => name == before,
            (Identity::Anonymous, Identity::Service { .. }) => true, // it was one by its client id
            (identity, before) => identity == before,
        };
        if changed || !same {
            return Err(Refused::Credentials);
        }
        let rules = self.judge(&state, &admission.identity, user.as_deref())?;
        if rules == admission.rules { Ok(()) } else { Err(Refused::Subject) }
    }

    /// By what a client proves who it is, and until when.
    async fn prove(&self, state: &State, attempt: &Attempt<'_>) -> Result<(Proof, Option<u64>), Refused> {
        if let Some(certificate) = attempt.certificate {
            if state.revoked.has(certificate) {
                return Err(Refused::Revoked);
            }
            if certificate.not_after_s <= attempt.now_s {
                return Err(Refused::Expired);
            }
            return Ok((Proof::Certificate { certificate: certificate.clone() }, Some(certificate.not_after_s)));
        }
        if let (Some(tokens), Some(Ok(text))) = (&state.tokens, attempt.password.map(str::from_utf8))
            && tokens::looks_like(text)
        {
            let claims = tokens.verify(text).map_err(|error| match error {
                TokenError::Expired => Refused::Expired,
                TokenError::Bad => Refused::Token,
            })?;
            return Ok((Proof::Token { subject: claims.sub }, Some(claims.exp)));
        }
        match attempt.user {
            Some(user) if self.config.users.is_some() || self.config.anonymous == Anonymous::Refuse => {
                let hash = state.users.get(user).and_then(|user| user.hash.as_deref());
                let right = self.verifier.verify(user, hash, attempt.password.unwrap_or_default()).await;
                match right.map_err(|_| Refused::Busy)? {
                    true => Ok((Proof::Password { user: user.to_owned() }, None)),
                    false => Err(Refused::Credentials),
                }
            }
            // without a file of users a name says nothing
            _ if self.config.anonymous == Anonymous::Refuse => Err(Refused::Anonymous),
            _ if !attempt.local && !self.config.allow_anonymous_beyond_loopback => Err(Refused::Anonymous),
            _ => Ok((Proof::Nothing, None)),
        }
    }

    /// Whom a proof is of. A name that a user has is that user; otherwise it must be a device of the site.
    fn identify(&self, state: &State, proof: &Proof) -> Result<(Identity, Option<Arc<User>>), Refused> {
        let name = match proof {
            Proof::Nothing => return Ok((Identity::Anonymous, None)),
            Proof::Password { user } => user,
            Proof::Certificate { certificate } => &certificate.common_name,
            Proof::Token { subject } => subject,
        };
        match (state.users.get(name), proof) {
            (Some(user), _) if user.disabled => Err(Refused::Disabled),
            (Some(user), _) => Ok((user.identity.clone(), Some(Arc::new(user.clone())))),
            (None, Proof::Password { .. }) => Err(Refused::Credentials),
            (None, _) => self.device(name).map(|device| (device, None)).ok_or(Refused::Subject),
        }
    }

    /// The device that a name means: one of the site, or of a site whose devices may come here.
    fn device(&self, name: &str) -> Option<Identity> {
        match Identity::device(name, &self.site) {
            Err(IdentityError::OtherSite(home)) => {
                let home = self.config.visitors.iter().find(|site| site.as_str() == home)?;
                Identity::device(name, home).ok()
            }
            device => device.ok(),
        }
    }

    /// What an identity may do, unless it is kept out.
    fn judge(&self, state: &State, identity: &Identity, user: Option<&User>) -> Result<Arc<Rules>, Refused> {
        if let Some(id) = identity.speaks_for(&self.site) {
            let device = Identity::Device { site: self.site.clone(), id: id.clone() };
            if state.users.is_disabled(&device) || self.is_barred(id) {
                return Err(Refused::Disabled);
            }
        }
        // a service that is no user is a part of the site on this machine
        let none = match (identity, user) {
            (Identity::Service { name }, None) => Service::ALL
                .into_iter()
                .find(|service| service.name() == name)
                .map(|service| service.grants(&self.site))
                .unwrap_or_default(),
            _ => Grants::default(),
        };
        let grants = user.map_or(&none, |user| &user.grants);
        // grants were checked when they were read; what could not be meant for this identity allows nothing
        state.policy.rules(identity, grants).map_err(|_| Refused::Subject)
    }

    /// The device that a gateway's connection speaks for: its client id names it, unless it begins with `$`.
    fn spoken_for(&self, client_id: &str) -> Result<Option<Name>, Refused> {
        if client_id.starts_with('$') {
            return Ok(None);
        }
        match Identity::device(client_id, &self.site) {
            Ok(Identity::Device { id, .. }) => Ok(Some(id)),
            _ => Err(Refused::ClientId),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::passwords::hash_password;
    use super::super::policy::Verdict;
    use super::super::users::{Role, UserEntry, UserFile};
    use super::*;
    use tempfile::TempDir;

    const NOW_S: u64 = 1_800_000_000;

    fn site() -> Name {
        Name::new("z1").unwrap()
    }

    fn entry(name: &str, role: Role) -> UserEntry {
        UserEntry { name: name.into(), role, password: Some(hash_password(name.as_bytes()).unwrap()), ..UserEntry::default() }
    }

    fn save(dir: &TempDir, users: Vec<UserEntry>) {
        UserFile { users, ..UserFile::default() }.save(&dir.path().join("users.toml")).unwrap();
    }

    fn authority(dir: &TempDir, users: Vec<UserEntry>) -> Authority {
        save(dir, users);
        std::fs::write(dir.path().join("revoked.txt"), "").unwrap();
        let config = AccessConfig {
            anonymous: Anonymous::Refuse,
            users: Some(dir.path().join("users.toml")),
            revoked: Some(dir.path().join("revoked.txt")),
            ..AccessConfig::default()
        };
        Authority::new(site(), config, Arc::default()).unwrap()
    }

    fn attempt<'a>(client_id: &'a str, user: Option<&'a str>, password: Option<&'a str>) -> Attempt<'a> {
        Attempt { client_id, user, password: password.map(str::as_bytes), certificate: None, local: true, now_s: NOW_S }
    }

    fn certificate(common_name: &str, not_after_s: u64) -> Arc<Certificate> {
        let common_name = common_name.to_owned();
        Arc::new(Certificate { common_name, serial: "abc".into(), fingerprint: protocol::Id([7; 32]), not_after_s, chain: vec![] })
    }

    async fn by_certificate(authority: &Authority, certificate: &Arc<Certificate>) -> Result<Admission, Refused> {
        authority.authenticate(&Attempt { certificate: Some(certificate), ..attempt("c", None, None) }).await
    }

    fn why(result: Result<Admission, Refused>) -> Option<Refused> {
        result.err()
    }

    #[tokio::test]
    async fn a_password_is_one_user_s() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(&dir, vec![entry("m1", Role::Device), entry("gw", Role::Gateway)]);
        let admission = authority.authenticate(&attempt("c", Some("m1"), Some("m1"))).await.unwrap();
        assert_eq!(admission.identity, Identity::device("m1", &site()).unwrap());
        assert_eq!(admission.rules.may_publish("root/device/z1/m1/sense/t"), Verdict::Allowed);
        for (user, password, refused) in [
            (Some("m1"), Some("gw"), Refused::Credentials),
            (Some("m1"), None, Refused::Credentials),
            (Some("nobody"), Some("m1"), Refused::Credentials),
            (None, None, Refused::Anonymous),
            (None, Some("m1"), Refused::Anonymous),
        ] {
            assert_eq!(why(authority.authenticate(&attempt("c", user, password)).await), Some(refused), "{user:?} {password:?}");
        }
        let gateway = |client: &'static str| attempt(client, Some("gw"), Some("gw"));
        let speaks_for = |admission: Admission| admission.identity.speaks_for(&site()).map(Name::to_string);
        assert_eq!(speaks_for(authority.authenticate(&gateway("z1/m7")).await.unwrap()), Some("m7".into()));
        assert_eq!(speaks_for(authority.authenticate(&gateway("m7")).await.unwrap()), Some("m7".into()));
        assert_eq!(speaks_for(authority.authenticate(&gateway("$own")).await.unwrap()), None);
        assert_eq!(why(authority.authenticate(&gateway("z2/m7")).await), Some(Refused::ClientId));
    }

    #[tokio::test]
    async fn what_changes_in_the_files_ends_what_stood_on_them() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(&dir, vec![entry("m1", Role::Device), entry("fog", Role::Service)]);
        let m1 = authority.authenticate(&attempt("c", Some("m1"), Some("m1"))).await.unwrap();
        let fog = authority.authenticate(&attempt("f", Some("fog"), Some("fog"))).await.unwrap();
        assert_eq!((authority.stands(&m1), authority.stands(&fog)), (Ok(()), Ok(())));

        std::fs::write(dir.path().join("users.toml"), "nonsense").unwrap();
        assert!(authority.reload().is_err());
        assert_eq!(authority.stands(&m1), Ok(()), "a bad file changes nothing");

        // A new grant and a new password: neither connection is what it was.
        let fog_entry = UserEntry { subscribe: vec!["root/#".into()], ..entry("fog", Role::Service) };
        save(&dir, vec![entry("m1", Role::Device), UserEntry { password: fog.user.as_ref().unwrap().hash.clone(), ..fog_entry }]);
        authority.reload().unwrap();
        assert_eq!(authority.stands(&fog), Err(Refused::Subject));
        assert_eq!(authority.stands(&m1), Err(Refused::Credentials), "its hash is another");

        let m1 = authority.authenticate(&attempt("c", Some("m1"), Some("m1"))).await.unwrap();
        save(&dir, vec![UserEntry { disabled: true, ..entry("m1", Role::Device) }]);
        authority.reload().unwrap();
        assert_eq!(authority.stands(&m1), Err(Refused::Disabled));
        assert_eq!(authority.stands(&fog), Err(Refused::Credentials), "it is gone");
        assert_eq!(why(authority.authenticate(&attempt("f", Some("fog"), Some("fog"))).await), Some(Refused::Credentials));
    }

    #[tokio::test]
    async fn a_certificate_is_the_device_it_names_until_it_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(&dir, vec![entry("fog", Role::Service)]);
        let m1 = certificate("z1/m1", NOW_S + 9);
        let admission = by_certificate(&authority, &m1).await.unwrap();
        assert_eq!(admission.identity, Identity::device("m1", &site()).unwrap());
        assert_eq!(admission.expires_at_s, Some(NOW_S + 9));
        let fog = by_certificate(&authority, &certificate("fog", NOW_S + 9)).await.unwrap();
        assert_eq!(fog.identity, Identity::Service { name: "fog".into() });
        assert_eq!(why(by_certificate(&authority, &certificate("z2/m1", NOW_S + 9)).await), Some(Refused::Subject));
        assert_eq!(why(by_certificate(&authority, &certificate("a/b/c", NOW_S + 9)).await), Some(Refused::Subject));
        assert_eq!(why(by_certificate(&authority, &certificate("m1", NOW_S)).await), Some(Refused::Expired));

        std::fs::write(dir.path().join("revoked.txt"), "serial:ABC\n").unwrap();
        authority.reload().unwrap();
        assert_eq!(authority.stands(&admission), Err(Refused::Revoked));
        assert_eq!(why(by_certificate(&authority, &m1).await), Some(Refused::Revoked));
    }

    /// ROAM-2
    #[tokio::test]
    async fn a_visitor_is_a_device_of_a_site_that_is_let_in() {
        let dir = tempfile::tempdir().unwrap();
        save(&dir, vec![]);
        let config = AccessConfig {
            anonymous: Anonymous::Refuse,
            users: Some(dir.path().join("users.toml")),
            visitors: vec![Name::new("z2").unwrap()],
            ..AccessConfig::default()
        };
        let authority = Authority::new(site(), config, Arc::default()).unwrap();
        let visitor = by_certificate(&authority, &certificate("z2/m1", NOW_S + 9)).await.unwrap();
        assert_eq!(visitor.identity, Identity::Device { site: Name::new("z2").unwrap(), id: Name::new("m1").unwrap() });
        assert_eq!(visitor.rules.may_publish("root/device/z2/m1/sense/t"), Verdict::Allowed);
        assert_eq!(visitor.rules.may_publish("root/device/z1/m1/sense/t"), Verdict::Denied);
        assert_eq!(visitor.rules.may_subscribe("root/fog/z2/m1/#"), Verdict::Allowed);
        assert_eq!(authority.stands(&visitor), Ok(()));
        assert_eq!(why(by_certificate(&authority, &certificate("z3/m1", NOW_S + 9)).await), Some(Refused::Subject));
        let open = AccessConfig { visitors: vec![Name::new("z2").unwrap()], ..AccessConfig::default() };
        let anybody = Authority::new(site(), open, Arc::default()).unwrap().authenticate(&attempt("c", None, None)).await.unwrap();
        assert_eq!(anybody.rules.may_publish("root/device/z2/m1/sense/t"), Verdict::Allowed);
        assert_eq!(anybody.rules.may_publish("root/device/z3/m1/sense/t"), Verdict::Denied);
    }

    #[tokio::test]
    async fn a_barred_device_is_out_until_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(&dir, vec![entry("m1", Role::Device)]);
        let m1 = authority.authenticate(&attempt("c", Some("m1"), Some("m1"))).await.unwrap();
        authority.bar(m1.identity.clone(), true);
        assert_eq!(authority.stands(&m1), Err(Refused::Disabled));
        assert_eq!(why(authority.authenticate(&attempt("c", Some("m1"), Some("m1"))).await), Some(Refused::Disabled));
        authority.bar(m1.identity.clone(), false);
        assert_eq!(authority.stands(&m1), Ok(()));
    }

    #[tokio::test]
    async fn nobody_in_particular_is_let_in_from_this_machine_only() {
        let authority = Authority::new(site(), AccessConfig::default(), Arc::default()).unwrap();
        let here = attempt("c", Some("any"), Some("thing"));
        assert_eq!(authority.authenticate(&here).await.unwrap().identity, Identity::Anonymous);
        assert_eq!(why(authority.authenticate(&Attempt { local: false, ..here }).await), Some(Refused::Anonymous));
        let open = AccessConfig { allow_anonymous_beyond_loopback: true, ..AccessConfig::default() };
        let authority = Authority::new(site(), open, Arc::default()).unwrap();
        assert!(authority.authenticate(&Attempt { local: false, ..here }).await.is_ok());
    }
}
