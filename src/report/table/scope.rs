//! The server's share of the CPU energy.

use crate::analysis::Findings;
use crate::record::Whose;
use crate::report::table::{Page, digits, missing, with_doubt};

/// One field beside the boundary; none where no share was looked for.
pub(in crate::report) fn scope(page: &mut Page, findings: &Findings) {
    let Some(share) = &findings.cpu_share else { return };
    let Some(who) = share.share_of.and(share.who.as_ref()) else { return };
    if share.energy.value.is_none() {
        page.field("CPU share", &missing(&share.energy));
        return;
    }
    let percent = 100.0 * share.share.value.unwrap_or(f64::NAN);
    let stands = match share.counted {
        Whose::Machine => "beside the machine's, which is counted",
        Whose::Process | Whose::Cgroup => "counted instead of the machine's",
    };
    page.field(
        "CPU share",
        &format!(
            "{} J: {}, {} % of the processor time in use; {stands}",
            with_doubt(&share.energy),
            who,
            digits(percent)
        ),
    );
}
