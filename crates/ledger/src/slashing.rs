//! Evidence: an offence costs stake and a seat. The rules are E-18 to E-23 of `docs/spec/epochs.md`.

use crate::read::{is_punished, read_totals, read_validator};
use crate::retained::{part, slashed};
use crate::rules::{OrderError, Rules};
use crate::stake::{Stop, put_validator};
use crate::store::{Key, Overlay, StateStore};
use protocol::Evidence;

/// Punishes a validator for what the evidence proves: once for each offence, whoever proves it.
pub(crate) fn punish<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, evidence: &Evidence) -> Result<(), Stop> {
    // what can be looked up comes before what must be computed
    let claimed = evidence.offence();
    if is_punished(state, claimed.id) {
        return Err(OrderError::Punished.into());
    }
    let Some(mut validator) = read_validator(state, claimed.offender)? else {
        return Err(OrderError::Stranger(claimed.offender).into());
    };
    let offence = evidence.verify(rules.network, rules.subnet).map_err(OrderError::from)?;

    let percent = rules.parameters.slash_percent;
    let (stake, unbonding) = (part(validator.stake, percent), part(validator.unbonding, percent));
    validator.stake -= stake;
    validator.unbonding -= unbonding;
    validator.retained = slashed(validator.retained, percent);
    let free = rules.epoch.saturating_add(rules.parameters.unbonding_epochs).saturating_add(1);
    validator.jailed_until = validator.jailed_until.max(free);
    let mut totals = read_totals(state)?;
    let burned = totals.burned.checked_add(stake).and_then(|b| b.checked_add(unbonding));
    totals.burned = burned.ok_or(OrderError::Overflow)?;

    put_validator(state, rules, offence.offender, &validator)?;
    state.set(Key::Totals, &totals);
    state.mark(Key::Offence(offence.id));
    Ok(())
}
