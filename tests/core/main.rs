//! The crate from outside: vectors, guarantees and properties, against an oracle that knows nothing of its insides.

mod agree;
mod bounds;
mod drive;
mod guarantees;
mod oracle;
mod properties;
mod shapes;
mod strategies;
mod vectors;
