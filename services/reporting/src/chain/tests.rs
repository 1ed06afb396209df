use super::*;
use crate::testing::at;

fn member(service: &str, instance: &str, ready: bool) -> Member {
    let reason = (!ready).then(|| "store: away".into());
    let (service, instance) = (service.into(), instance.into());
    Member { service, instance, version: "0.1.0".into(), started_at: at(0), ready, shares: true, reason }
}

#[test]
fn the_chain_is_as_healthy_as_its_weakest_service() {
    let all = || CHAIN.map(|service| member(service, "a", true)).to_vec();
    let with = |members, bytes| {
        let room = DeadLetterRoom::new(Usage { bytes, max_bytes: 1000 });
        ChainHealth::new(at(0), members, BTreeMap::from([("alert", 3)]), Some(room), &PageLinksConfig::default())
    };
    let of = |members| with(members, 749);
    assert_eq!(of(all()).status, Status::Ok);
    let full = with(all(), 750);
    assert_eq!(
        (full.status, full.dead_letters),
        (Status::Degraded, Some(DeadLetterRoom { used_percent: 75, full: true }))
    );
    assert_eq!(of(all()).stages, [Stage { stage: "alert".into(), lag: 3 }]);
    assert_eq!(of(all()[1..].to_vec()).status, Status::Degraded, "one is missing");
    let mut unready = all();
    unready.push(member("alert", "b", false));
    assert_eq!(of(unready).status, Status::Degraded);
    let mut more = all();
    more.push(member("recommendation", "a", true));
    assert_eq!(of(more).services[5].service, "recommendation");
}
