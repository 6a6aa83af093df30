//! Times the crate by itself, without Python: `cargo bench --bench core`.

mod shapes;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sse_fast::{Options, Rewriter};

use shapes::{feed_all, workloads};

fn feeding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("feed");
    for workload in workloads(2000, 16 << 20) {
        workload.check();
        group.throughput(Throughput::Bytes(workload.chunks.iter().map(|chunk| chunk.len() as u64).sum()));
        group.bench_function(workload.name, |bencher| {
            let mut out = Vec::new();
            let fed = |mut rewriter| feed_all(&mut rewriter, &workload.chunks, &mut out);
            bencher.iter_batched(|| workload.rewriter(), fed, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn making(criterion: &mut Criterion) {
    let workload = workloads(8, 8).swap_remove(0);
    criterion.bench_function("make a rewriter", |bencher| {
        bencher.iter(|| Rewriter::new(black_box(&workload.rules), Options::default()));
    });
}

criterion_group!(benches, feeding, making);
criterion_main!(benches);
