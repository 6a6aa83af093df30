//! Writes the seed corpus of every target from the vectors of tests/data: `seeds FOLDER TARGET...`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde_json::Value;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let corpus = PathBuf::from(arguments.next().expect("the folder of the corpus"));
    let folders: Vec<PathBuf> = arguments.map(|target| corpus.join(target)).collect();
    for folder in &folders {
        fs::create_dir_all(folder)?;
    }
    let mut number = 0;
    for stream in inputs()? {
        for seed in sse_fast_fuzz::seeds(&stream, number) {
            for folder in &folders {
                fs::write(folder.join(format!("seed-{number:04}-{:08x}", checksum(&seed))), &seed)?;
            }
        }
        number += 1;
    }
    println!("{number} vectors");
    Ok(())
}

/// The inputs of all vectors that are text.
fn inputs() -> io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut inputs = Vec::new();
    for file in files {
        let vectors: Value = serde_json::from_slice(&fs::read(file)?)?;
        let cases = vectors["cases"].as_array().into_iter().flatten();
        inputs.extend(cases.filter_map(|case| Some(case["input"].as_str()?.as_bytes().to_vec())));
    }
    Ok(inputs)
}

/// FNV-1a, to name a file by what is in it.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
