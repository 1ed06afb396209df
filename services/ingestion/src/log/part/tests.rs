use super::*;

#[test]
fn parts_fit_batches() {
    let mut parts = Parts::default();
    for n in 0..5 {
        assert_eq!(parts.push((Partition::new(n % 2), "shop"), None, 20, |out| out.extend([b'x'; 9])), 9);
    }
    // Two lines of ten bytes are full.
    let full: Vec<(u16, usize)> = parts.full.iter().map(|(p, lines)| (p.index(), lines.text.len())).collect();
    assert_eq!(full, [(0, 20), (1, 20)]);
    assert_eq!(parts.open[&Partition::new(0)].sources["shop"], 1);
}
