//! Switches that only simulations use: a test shows that an adversary acts by taking away the rule that stops it.

/// Which of the rules that keep adversaries out are on. Nothing but a simulation ever switches one off: a node
/// whose defences differ from its committee's confirms what the others refuse.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defences {
    /// Messages whose signature is not their issuer's are refused.
    pub signatures: bool,
    /// Messages of another network or subnet are refused.
    pub network: bool,
    /// Of an issuer's messages with one sequence at most one counts.
    pub conflicts: bool,
    /// What the archive holds is known: it is not taken in again.
    pub archive: bool,
    /// What the state remembers as void is outside every cut, whoever remembers it beside the state.
    pub void: bool,
    /// A vote waits for the whole past cone of what it is for.
    pub availability: bool,
    /// A milestone from the future is refused, or waited for if it is close.
    pub clock: bool,
    /// Issuers above their share are held back.
    pub rate: bool,
}

impl Default for Defences {
    fn default() -> Self {
        Self { signatures: true, network: true, conflicts: true, archive: true, void: true, availability: true, clock: true, rate: true }
    }
}
