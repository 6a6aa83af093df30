//! Runs one workload for `benches/gate`, which counts its instructions under callgrind.
//!
//! Without an argument it lists the workloads and checks that each gives what it should.

mod shapes;

use shapes::{feed_all, workloads};

fn main() {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    for workload in workloads(400, 1 << 20) {
        match &wanted {
            None => {
                workload.check();
                println!("{}", workload.name);
            }
            Some(name) if name == workload.name => {
                // Once uncounted: what a thread makes once is no part of an event's cost.
                let mut out = Vec::with_capacity(2 << 20);
                for _ in 0..2 {
                    feed_all(&mut workload.rewriter(), &workload.chunks, &mut out);
                }
            }
            Some(_) => {}
        }
    }
}
