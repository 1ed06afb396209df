use super::*;

#[test]
fn parts_fit_batches() {
    let mut parts = Parts::default();
    let source: SourceName = "shop".parse().expect("a name");
    for n in 0..5 {
        parts.push(Partition::new(n % 2), source.clone(), &[b'x'; 9], None, 20);
    }
    // Two lines of ten bytes are full.
    let full: Vec<(u16, usize)> = parts.full.iter().map(|(p, lines)| (p.index(), lines.text.len())).collect();
    assert_eq!(full, [(0, 20), (1, 20)]);
    assert_eq!(parts.open[&Partition::new(0)].sources[&source], 1);
}
